from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UnknownCharacters(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNKNOWN_CHARACTERS_UNSPECIFIED: _ClassVar[UnknownCharacters]
    UNKNOWN_CHARACTERS_MAP: _ClassVar[UnknownCharacters]
    UNKNOWN_CHARACTERS_REFUSE: _ClassVar[UnknownCharacters]

class FinishReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINISH_REASON_UNSPECIFIED: _ClassVar[FinishReason]
    FINISH_REASON_STOP: _ClassVar[FinishReason]
    FINISH_REASON_LENGTH: _ClassVar[FinishReason]

class ImageFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IMAGE_FORMAT_UNSPECIFIED: _ClassVar[ImageFormat]
    IMAGE_FORMAT_PNG: _ClassVar[ImageFormat]
    IMAGE_FORMAT_JPEG: _ClassVar[ImageFormat]
    IMAGE_FORMAT_WEBP: _ClassVar[ImageFormat]
    IMAGE_FORMAT_RAW: _ClassVar[ImageFormat]
UNKNOWN_CHARACTERS_UNSPECIFIED: UnknownCharacters
UNKNOWN_CHARACTERS_MAP: UnknownCharacters
UNKNOWN_CHARACTERS_REFUSE: UnknownCharacters
FINISH_REASON_UNSPECIFIED: FinishReason
FINISH_REASON_STOP: FinishReason
FINISH_REASON_LENGTH: FinishReason
IMAGE_FORMAT_UNSPECIFIED: ImageFormat
IMAGE_FORMAT_PNG: ImageFormat
IMAGE_FORMAT_JPEG: ImageFormat
IMAGE_FORMAT_WEBP: ImageFormat
IMAGE_FORMAT_RAW: ImageFormat

class Image(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class ClassifyRequest(_message.Message):
    __slots__ = ("model_name", "model_version", "images", "top_k")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    model_version: str
    images: _containers.RepeatedCompositeFieldContainer[Image]
    top_k: int
    def __init__(self, model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., top_k: _Optional[int] = ...) -> None: ...

class Prediction(_message.Message):
    __slots__ = ("label", "index", "probability")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    label: str
    index: int
    probability: float
    def __init__(self, label: _Optional[str] = ..., index: _Optional[int] = ..., probability: _Optional[float] = ...) -> None: ...

class Classification(_message.Message):
    __slots__ = ("predictions",)
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    predictions: _containers.RepeatedCompositeFieldContainer[Prediction]
    def __init__(self, predictions: _Optional[_Iterable[_Union[Prediction, _Mapping]]] = ...) -> None: ...

class ClassifyResponse(_message.Message):
    __slots__ = ("model_name", "model_version", "results")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    model_version: str
    results: _containers.RepeatedCompositeFieldContainer[Classification]
    def __init__(self, model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., results: _Optional[_Iterable[_Union[Classification, _Mapping]]] = ...) -> None: ...

class GenerateTextRequest(_message.Message):
    __slots__ = ("model_name", "model_version", "prompt", "prompt_ids", "max_tokens", "temperature", "top_k", "top_p", "repetition_penalty", "presence_penalty", "frequency_penalty", "stop", "seed", "n", "best_of", "beam_width", "length_penalty", "logprobs", "echo", "unknown", "receipt", "session", "client", "id")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_IDS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    REPETITION_PENALTY_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_PENALTY_FIELD_NUMBER: _ClassVar[int]
    FREQUENCY_PENALTY_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    BEST_OF_FIELD_NUMBER: _ClassVar[int]
    BEAM_WIDTH_FIELD_NUMBER: _ClassVar[int]
    LENGTH_PENALTY_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    ECHO_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    model_version: str
    prompt: str
    prompt_ids: SymbolIds
    max_tokens: int
    temperature: float
    top_k: int
    top_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    stop: _containers.RepeatedScalarFieldContainer[str]
    seed: int
    n: int
    best_of: int
    beam_width: int
    length_penalty: float
    logprobs: int
    echo: bool
    unknown: UnknownCharacters
    receipt: Receipt
    session: str
    client: str
    id: str
    def __init__(self, model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., prompt: _Optional[str] = ..., prompt_ids: _Optional[_Union[SymbolIds, _Mapping]] = ..., max_tokens: _Optional[int] = ..., temperature: _Optional[float] = ..., top_k: _Optional[int] = ..., top_p: _Optional[float] = ..., repetition_penalty: _Optional[float] = ..., presence_penalty: _Optional[float] = ..., frequency_penalty: _Optional[float] = ..., stop: _Optional[_Iterable[str]] = ..., seed: _Optional[int] = ..., n: _Optional[int] = ..., best_of: _Optional[int] = ..., beam_width: _Optional[int] = ..., length_penalty: _Optional[float] = ..., logprobs: _Optional[int] = ..., echo: bool = ..., unknown: _Optional[_Union[UnknownCharacters, str]] = ..., receipt: _Optional[_Union[Receipt, _Mapping]] = ..., session: _Optional[str] = ..., client: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class SymbolIds(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, ids: _Optional[_Iterable[int]] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("seed", "model", "version", "sha256", "provider", "precision")
    SEED_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    seed: int
    model: str
    version: str
    sha256: str
    provider: str
    precision: str
    def __init__(self, seed: _Optional[int] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., sha256: _Optional[str] = ..., provider: _Optional[str] = ..., precision: _Optional[str] = ...) -> None: ...

class GenerateTextResponse(_message.Message):
    __slots__ = ("started", "piece", "finished")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    started: GenerationStarted
    piece: TextPiece
    finished: GenerationFinished
    def __init__(self, started: _Optional[_Union[GenerationStarted, _Mapping]] = ..., piece: _Optional[_Union[TextPiece, _Mapping]] = ..., finished: _Optional[_Union[GenerationFinished, _Mapping]] = ...) -> None: ...

class GenerationStarted(_message.Message):
    __slots__ = ("model_name", "model_version", "id", "receipt", "replaced", "prompt")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    REPLACED_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    model_version: str
    id: str
    receipt: Receipt
    replaced: _containers.RepeatedCompositeFieldContainer[Replacement]
    prompt: str
    def __init__(self, model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., id: _Optional[str] = ..., receipt: _Optional[_Union[Receipt, _Mapping]] = ..., replaced: _Optional[_Iterable[_Union[Replacement, _Mapping]]] = ..., prompt: _Optional[str] = ...) -> None: ...

class Replacement(_message.Message):
    __slots__ = ("character", "replacement", "count")
    CHARACTER_FIELD_NUMBER: _ClassVar[int]
    REPLACEMENT_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    character: str
    replacement: str
    count: int
    def __init__(self, character: _Optional[str] = ..., replacement: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class TextPiece(_message.Message):
    __slots__ = ("index", "text", "symbols", "finish_reason")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    index: int
    text: str
    symbols: _containers.RepeatedCompositeFieldContainer[Symbol]
    finish_reason: FinishReason
    def __init__(self, index: _Optional[int] = ..., text: _Optional[str] = ..., symbols: _Optional[_Iterable[_Union[Symbol, _Mapping]]] = ..., finish_reason: _Optional[_Union[FinishReason, str]] = ...) -> None: ...

class Symbol(_message.Message):
    __slots__ = ("text", "log_probability", "alternatives")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    text: str
    log_probability: float
    alternatives: _containers.RepeatedCompositeFieldContainer[Alternative]
    def __init__(self, text: _Optional[str] = ..., log_probability: _Optional[float] = ..., alternatives: _Optional[_Iterable[_Union[Alternative, _Mapping]]] = ...) -> None: ...

class Alternative(_message.Message):
    __slots__ = ("text", "log_probability")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    text: str
    log_probability: float
    def __init__(self, text: _Optional[str] = ..., log_probability: _Optional[float] = ...) -> None: ...

class GenerationFinished(_message.Message):
    __slots__ = ("usage",)
    USAGE_FIELD_NUMBER: _ClassVar[int]
    usage: Usage
    def __init__(self, usage: _Optional[_Union[Usage, _Mapping]] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("prompt_tokens", "completion_tokens")
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    prompt_tokens: int
    completion_tokens: int
    def __init__(self, prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ...) -> None: ...

class CaptionOptions(_message.Message):
    __slots__ = ("captions", "beam_width", "length_penalty", "min_tokens", "max_tokens", "temperature", "top_k", "top_p", "seed", "beginning", "attention")
    CAPTIONS_FIELD_NUMBER: _ClassVar[int]
    BEAM_WIDTH_FIELD_NUMBER: _ClassVar[int]
    LENGTH_PENALTY_FIELD_NUMBER: _ClassVar[int]
    MIN_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    BEGINNING_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_FIELD_NUMBER: _ClassVar[int]
    captions: int
    beam_width: int
    length_penalty: float
    min_tokens: int
    max_tokens: int
    temperature: float
    top_k: int
    top_p: float
    seed: int
    beginning: str
    attention: bool
    def __init__(self, captions: _Optional[int] = ..., beam_width: _Optional[int] = ..., length_penalty: _Optional[float] = ..., min_tokens: _Optional[int] = ..., max_tokens: _Optional[int] = ..., temperature: _Optional[float] = ..., top_k: _Optional[int] = ..., top_p: _Optional[float] = ..., seed: _Optional[int] = ..., beginning: _Optional[str] = ..., attention: bool = ...) -> None: ...

class CaptionRequest(_message.Message):
    __slots__ = ("model_name", "model_version", "images", "options", "client", "id")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    model_version: str
    images: _containers.RepeatedCompositeFieldContainer[Image]
    options: CaptionOptions
    client: str
    id: str
    def __init__(self, model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., options: _Optional[_Union[CaptionOptions, _Mapping]] = ..., client: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class CaptionResponse(_message.Message):
    __slots__ = ("model_name", "model_version", "id", "seed", "results")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    model_version: str
    id: str
    seed: int
    results: _containers.RepeatedCompositeFieldContainer[ImageCaptions]
    def __init__(self, model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., id: _Optional[str] = ..., seed: _Optional[int] = ..., results: _Optional[_Iterable[_Union[ImageCaptions, _Mapping]]] = ...) -> None: ...

class ImageCaptions(_message.Message):
    __slots__ = ("captions",)
    CAPTIONS_FIELD_NUMBER: _ClassVar[int]
    captions: _containers.RepeatedCompositeFieldContainer[Caption]
    def __init__(self, captions: _Optional[_Iterable[_Union[Caption, _Mapping]]] = ...) -> None: ...

class Caption(_message.Message):
    __slots__ = ("text", "words", "log_probability", "finish_reason")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    text: str
    words: _containers.RepeatedCompositeFieldContainer[CaptionWord]
    log_probability: float
    finish_reason: FinishReason
    def __init__(self, text: _Optional[str] = ..., words: _Optional[_Iterable[_Union[CaptionWord, _Mapping]]] = ..., log_probability: _Optional[float] = ..., finish_reason: _Optional[_Union[FinishReason, str]] = ...) -> None: ...

class CaptionWord(_message.Message):
    __slots__ = ("text", "log_probability", "attention")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_FIELD_NUMBER: _ClassVar[int]
    text: str
    log_probability: float
    attention: AttentionMap
    def __init__(self, text: _Optional[str] = ..., log_probability: _Optional[float] = ..., attention: _Optional[_Union[AttentionMap, _Mapping]] = ...) -> None: ...

class AttentionMap(_message.Message):
    __slots__ = ("rows", "columns", "values")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    rows: int
    columns: int
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, rows: _Optional[int] = ..., columns: _Optional[int] = ..., values: _Optional[_Iterable[float]] = ...) -> None: ...

class StreamCaptionResponse(_message.Message):
    __slots__ = ("started", "word", "caption", "finished")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    WORD_FIELD_NUMBER: _ClassVar[int]
    CAPTION_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    started: CaptionStarted
    word: StreamedWord
    caption: StreamedCaption
    finished: CaptionFinished
    def __init__(self, started: _Optional[_Union[CaptionStarted, _Mapping]] = ..., word: _Optional[_Union[StreamedWord, _Mapping]] = ..., caption: _Optional[_Union[StreamedCaption, _Mapping]] = ..., finished: _Optional[_Union[CaptionFinished, _Mapping]] = ...) -> None: ...

class CaptionStarted(_message.Message):
    __slots__ = ("model_name", "model_version", "id", "seed", "captions")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    CAPTIONS_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    model_version: str
    id: str
    seed: int
    captions: int
    def __init__(self, model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., id: _Optional[str] = ..., seed: _Optional[int] = ..., captions: _Optional[int] = ...) -> None: ...

class StreamedWord(_message.Message):
    __slots__ = ("image", "caption", "word")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    CAPTION_FIELD_NUMBER: _ClassVar[int]
    WORD_FIELD_NUMBER: _ClassVar[int]
    image: int
    caption: int
    word: CaptionWord
    def __init__(self, image: _Optional[int] = ..., caption: _Optional[int] = ..., word: _Optional[_Union[CaptionWord, _Mapping]] = ...) -> None: ...

class StreamedCaption(_message.Message):
    __slots__ = ("image", "caption", "whole")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    CAPTION_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    image: int
    caption: int
    whole: Caption
    def __init__(self, image: _Optional[int] = ..., caption: _Optional[int] = ..., whole: _Optional[_Union[Caption, _Mapping]] = ...) -> None: ...

class CaptionFinished(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CaptionVideoRequest(_message.Message):
    __slots__ = ("model_name", "model_version", "video", "frames", "options", "client", "id")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    model_version: str
    video: bytes
    frames: FrameList
    options: CaptionOptions
    client: str
    id: str
    def __init__(self, model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., video: _Optional[bytes] = ..., frames: _Optional[_Union[FrameList, _Mapping]] = ..., options: _Optional[_Union[CaptionOptions, _Mapping]] = ..., client: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class FrameList(_message.Message):
    __slots__ = ("frames",)
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    frames: _containers.RepeatedCompositeFieldContainer[VideoFrame]
    def __init__(self, frames: _Optional[_Iterable[_Union[VideoFrame, _Mapping]]] = ...) -> None: ...

class VideoFrame(_message.Message):
    __slots__ = ("time_s", "image")
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    time_s: float
    image: Image
    def __init__(self, time_s: _Optional[float] = ..., image: _Optional[_Union[Image, _Mapping]] = ...) -> None: ...

class CaptionVideoResponse(_message.Message):
    __slots__ = ("model_name", "model_version", "id", "seed", "duration_s", "frames", "scenes")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    SCENES_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    model_version: str
    id: str
    seed: int
    duration_s: float
    frames: int
    scenes: _containers.RepeatedCompositeFieldContainer[VideoScene]
    def __init__(self, model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., id: _Optional[str] = ..., seed: _Optional[int] = ..., duration_s: _Optional[float] = ..., frames: _Optional[int] = ..., scenes: _Optional[_Iterable[_Union[VideoScene, _Mapping]]] = ...) -> None: ...

class VideoScene(_message.Message):
    __slots__ = ("start_s", "end_s", "frame_s", "captions")
    START_S_FIELD_NUMBER: _ClassVar[int]
    END_S_FIELD_NUMBER: _ClassVar[int]
    FRAME_S_FIELD_NUMBER: _ClassVar[int]
    CAPTIONS_FIELD_NUMBER: _ClassVar[int]
    start_s: float
    end_s: float
    frame_s: float
    captions: _containers.RepeatedCompositeFieldContainer[Caption]
    def __init__(self, start_s: _Optional[float] = ..., end_s: _Optional[float] = ..., frame_s: _Optional[float] = ..., captions: _Optional[_Iterable[_Union[Caption, _Mapping]]] = ...) -> None: ...

class GenerateImagesRequest(_message.Message):
    __slots__ = ("model_name", "model_version", "samples", "seeds", "latents", "interpolation", "arithmetic", "truncation", "class_name", "prompt", "directions", "format", "quality", "id")
    class DirectionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    SEEDS_FIELD_NUMBER: _ClassVar[int]
    LATENTS_FIELD_NUMBER: _ClassVar[int]
    INTERPOLATION_FIELD_NUMBER: _ClassVar[int]
    ARITHMETIC_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    DIRECTIONS_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    model_version: str
    samples: ImageSamples
    seeds: SeedList
    latents: LatentList
    interpolation: LatentPath
    arithmetic: LatentSum
    truncation: float
    class_name: str
    prompt: str
    directions: _containers.ScalarMap[str, float]
    format: ImageFormat
    quality: int
    id: str
    def __init__(self, model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., samples: _Optional[_Union[ImageSamples, _Mapping]] = ..., seeds: _Optional[_Union[SeedList, _Mapping]] = ..., latents: _Optional[_Union[LatentList, _Mapping]] = ..., interpolation: _Optional[_Union[LatentPath, _Mapping]] = ..., arithmetic: _Optional[_Union[LatentSum, _Mapping]] = ..., truncation: _Optional[float] = ..., class_name: _Optional[str] = ..., prompt: _Optional[str] = ..., directions: _Optional[_Mapping[str, float]] = ..., format: _Optional[_Union[ImageFormat, str]] = ..., quality: _Optional[int] = ..., id: _Optional[str] = ...) -> None: ...

class LatentPoint(_message.Message):
    __slots__ = ("seed", "index")
    SEED_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    seed: int
    index: int
    def __init__(self, seed: _Optional[int] = ..., index: _Optional[int] = ...) -> None: ...

class ImageSamples(_message.Message):
    __slots__ = ("seed", "count", "first")
    SEED_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    seed: int
    count: int
    first: int
    def __init__(self, seed: _Optional[int] = ..., count: _Optional[int] = ..., first: _Optional[int] = ...) -> None: ...

class SeedList(_message.Message):
    __slots__ = ("seeds", "index")
    SEEDS_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    seeds: _containers.RepeatedScalarFieldContainer[int]
    index: int
    def __init__(self, seeds: _Optional[_Iterable[int]] = ..., index: _Optional[int] = ...) -> None: ...

class LatentList(_message.Message):
    __slots__ = ("latents",)
    LATENTS_FIELD_NUMBER: _ClassVar[int]
    latents: _containers.RepeatedCompositeFieldContainer[Latent]
    def __init__(self, latents: _Optional[_Iterable[_Union[Latent, _Mapping]]] = ...) -> None: ...

class Latent(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...

class LatentPath(_message.Message):
    __slots__ = ("points", "frames", "closed")
    POINTS_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    points: _containers.RepeatedCompositeFieldContainer[LatentPoint]
    frames: int
    closed: bool
    def __init__(self, points: _Optional[_Iterable[_Union[LatentPoint, _Mapping]]] = ..., frames: _Optional[int] = ..., closed: bool = ...) -> None: ...

class LatentSum(_message.Message):
    __slots__ = ("terms",)
    TERMS_FIELD_NUMBER: _ClassVar[int]
    terms: _containers.RepeatedCompositeFieldContainer[LatentTerm]
    def __init__(self, terms: _Optional[_Iterable[_Union[LatentTerm, _Mapping]]] = ...) -> None: ...

class LatentTerm(_message.Message):
    __slots__ = ("weight", "point")
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    POINT_FIELD_NUMBER: _ClassVar[int]
    weight: float
    point: LatentPoint
    def __init__(self, weight: _Optional[float] = ..., point: _Optional[_Union[LatentPoint, _Mapping]] = ...) -> None: ...

class GenerateImagesResponse(_message.Message):
    __slots__ = ("started", "image", "finished")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    started: ImagesStarted
    image: GeneratedImage
    finished: ImagesFinished
    def __init__(self, started: _Optional[_Union[ImagesStarted, _Mapping]] = ..., image: _Optional[_Union[GeneratedImage, _Mapping]] = ..., finished: _Optional[_Union[ImagesFinished, _Mapping]] = ...) -> None: ...

class ImagesStarted(_message.Message):
    __slots__ = ("model_name", "model_version", "id", "seed", "count", "height", "width", "channels", "prompt", "fingerprint")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    model_version: str
    id: str
    seed: int
    count: int
    height: int
    width: int
    channels: int
    prompt: str
    fingerprint: str
    def __init__(self, model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., id: _Optional[str] = ..., seed: _Optional[int] = ..., count: _Optional[int] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., channels: _Optional[int] = ..., prompt: _Optional[str] = ..., fingerprint: _Optional[str] = ...) -> None: ...

class GeneratedImage(_message.Message):
    __slots__ = ("number", "data", "point", "class_name")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    POINT_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    number: int
    data: bytes
    point: LatentPoint
    class_name: str
    def __init__(self, number: _Optional[int] = ..., data: _Optional[bytes] = ..., point: _Optional[_Union[LatentPoint, _Mapping]] = ..., class_name: _Optional[str] = ...) -> None: ...

class ImagesFinished(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CritiqueImagesRequest(_message.Message):
    __slots__ = ("model_name", "model_version", "images", "class_name", "prompt", "id")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    model_version: str
    images: _containers.RepeatedCompositeFieldContainer[Image]
    class_name: str
    prompt: str
    id: str
    def __init__(self, model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., class_name: _Optional[str] = ..., prompt: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class CritiqueImagesResponse(_message.Message):
    __slots__ = ("model_name", "model_version", "id", "probabilities")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    model_version: str
    id: str
    probabilities: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., id: _Optional[str] = ..., probabilities: _Optional[_Iterable[float]] = ...) -> None: ...
