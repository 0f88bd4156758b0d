"""The model folder: the only contract between training and serving.

::

    model_repo/<name>/config.pbtxt        scheduling, in Triton's format (optional)
    model_repo/<name>/labels.txt          one label a line, line i = class i (optional)
    model_repo/<name>/README.md           model card
    model_repo/<name>/<version>/model.onnx
    model_repo/<name>/<version>/prefill.onnx   second graph of a generator, see ``generation``
    model_repo/<name>/<version>/encoder.onnx   third graph of a captioner, see ``generation``
    model_repo/<name>/<version>/critic.onnx    discriminator of a generator of pictures (optional),
                                               see ``image_generation``
    model_repo/<name>/<version>/weights.bin   large tensors that several graphs refer to
    model_repo/<name>/<version>/golden.npz   inputs and the outputs they must give (optional)
    model_repo/<name>/<version>/captions.golden.npz   pictures and the captions a search must find
    model_repo/<name>/<version>/run.json     config, metrics, seed and checksums of the training run

What Triton has no word for (the task, how an image becomes a tensor) is declared inside the ONNX
file, in ``metadata_props`` under keys that begin with ``quartet.``, so a model file moved alone
still serves. This module is standard library, NumPy and pydantic alone: both sides import it.
"""

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError, model_validator

from quartet.config import Config, explain
from quartet.generation import GeneratorTask, TextGenerationTask
from quartet.image_generation import ImageGenerationTask

METADATA_KEY = "quartet.task"
"""Key of ``metadata_props`` that holds the JSON of one task declaration."""

MODEL_FILE = "model.onnx"
PREFILL_FILE = "prefill.onnx"
ENCODER_FILE = "encoder.onnx"
CRITIC_FILE = "critic.onnx"
WEIGHTS_FILE = "weights.bin"
PREFILL_GOLDEN_FILE = "prefill.golden.npz"
ENCODER_GOLDEN_FILE = "encoder.golden.npz"
CRITIC_GOLDEN_FILE = "critic.golden.npz"
CAPTION_GOLDEN_FILE = "captions.golden.npz"
GOLDEN_FILE = "golden.npz"
RUN_FILE = "run.json"
CONFIG_FILE = "config.pbtxt"
LABELS_FILE = "labels.txt"
CARD_FILE = "README.md"


class ArtifactError(ValueError):
    """A model folder that contradicts this contract; the text names the file and what it wants."""


class ImageSpec(Config):
    """How a decoded picture becomes the graph's input tensor."""

    input: str = "image"
    """Name of the graph input."""
    layout: Literal["HW", "HWC", "CHW"] = "HW"
    """Axes of one picture, after the batch axis. HW has no channel axis (one channel)."""
    height: int = Field(ge=1)
    """Rows, pixels."""
    width: int = Field(ge=1)
    """Columns, pixels."""
    mode: Literal["L", "RGB"] = "L"
    """L: one luminance channel (ITU-R 601-2); RGB: three."""
    fit: Literal["stretch", "crop", "pad", "digit"] = "stretch"
    """stretch: resize both sides; crop: cover, then cut the centre; pad: contain, then pad with
    black; digit: bring a photo or drawing of one digit to the form of MNIST (LeCun et al. 1998)."""
    scale: float = 1.0
    """Multiplies the 0..255 pixel values of a float input; a uint8 input takes them as they are."""
    mean: tuple[float, ...] = ()
    """Subtracted after ``scale``, one a channel; empty for none. Float inputs only."""
    std: tuple[float, ...] = ()
    """Divides after ``mean``, one a channel; empty for none. Float inputs only."""


class ClassificationTask(Config):
    """The graph gives one score a class for each picture."""

    task: Literal["image_classification"] = "image_classification"
    """Discriminator."""
    image: ImageSpec
    """The picture input."""
    output: str = "probabilities"
    """Name of the graph output of shape [batch, classes]."""
    activation: Literal["none", "softmax"] = "none"
    """none: the output holds probabilities; softmax: it holds logits, the server normalises."""
    labels: tuple[str, ...] = ()
    """Class names by index; empty: the index is the name."""


class CaptionDefaults(Config):
    """What a request for captions gets that does not say otherwise."""

    captions: int = Field(default=1, ge=1)
    """Captions of a picture."""
    beam_width: int = Field(default=3, ge=1)
    """Of the search; 1 always takes the likeliest word."""
    length_penalty: float = 1.0
    """A caption's score is the sum of its log-probabilities over length ** length_penalty."""
    min_tokens: int = Field(default=1, ge=0)
    """Words at least."""
    max_tokens: int = Field(default=24, ge=1)
    """Words at most."""


class ImageCaptioningTask(GeneratorTask):
    """The graphs say in words what a picture shows. Every symbol is one word."""

    task: Literal["image_captioning"] = "image_captioning"
    """Discriminator."""
    image: ImageSpec
    """The picture input of the encoder."""
    grid: tuple[int, int] | None = None
    """Rows and columns of ``attention``, row by row from the upper left; none: the network has no
    attention. The grid covers the whole of the encoder's input."""
    hidden: tuple[str, ...] = ()
    """Symbols that are never part of a caption, such as that of an unknown word."""
    defaults: CaptionDefaults = CaptionDefaults()
    """For requests that do not say otherwise."""

    @model_validator(mode="after")
    def _check_hidden(self) -> Self:
        for symbol in self.hidden:
            if symbol not in self.vocabulary:
                raise ValueError(f"hidden: {symbol!r} is no symbol of the vocabulary")
        return self


TaskDeclaration = (
    ClassificationTask | TextGenerationTask | ImageCaptioningTask | ImageGenerationTask
)
"""What a model may be for."""

_TASKS: Mapping[str, type[TaskDeclaration]] = {
    "image_classification": ClassificationTask,
    "image_captioning": ImageCaptioningTask,
    "image_generation": ImageGenerationTask,
    "text_generation": TextGenerationTask,
}


def dump_task(task: TaskDeclaration) -> str:
    """The text to store under ``METADATA_KEY``."""
    return task.model_dump_json()


def parse_task(text: str) -> TaskDeclaration:
    """Read a task declaration. Raises ArtifactError naming the key at fault."""
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        raise ArtifactError(f"metadata {METADATA_KEY!r} is not JSON: {error}") from error
    name = raw.get("task") if isinstance(raw, dict) else raw
    schema = _TASKS.get(name) if isinstance(name, str) else None
    if schema is None:
        known = " or ".join(repr(task) for task in _TASKS)
        raise ArtifactError(f"metadata {METADATA_KEY!r}: task must be {known}, got {name!r}")
    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        raise ArtifactError(f"metadata {METADATA_KEY!r}: {explain(error)}") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Golden:
    """Inputs and the outputs that the exporting framework computed for them.

    All arrays share their first axis, the batch. An output agrees when
    ``|got - expected| <= atol + rtol * |expected|`` holds everywhere.
    """

    inputs: Mapping[str, npt.NDArray[np.generic]]
    """Input name -> array [batch, ...], in the graph's own dtype."""
    outputs: Mapping[str, npt.NDArray[np.generic]]
    """Output name -> array [batch, ...]."""
    atol: float = 1e-5
    """Absolute tolerance, in the output's unit."""
    rtol: float = 1e-4
    """Relative tolerance."""
    source: str = field(default="")
    """What computed ``outputs``, for instance "torch 2.13.0, float32"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionGolden:
    """Pictures and the best caption of each that a beam search over a captioner's graphs must find.

    The symbols must be equal, and ``|got - expected| <= atol`` hold for their log-probabilities.
    """

    images: npt.NDArray[np.uint8]
    """[N, ...], as the encoder takes them."""
    tokens: tuple[npt.NDArray[np.int64], ...]
    """N captions, [T] symbols each, the one that stopped it included."""
    log_probabilities: tuple[npt.NDArray[np.float32], ...]
    """Theirs, nats."""
    beam_width: int
    """Of the search, which ends as soon as so many captions are complete."""
    length_penalty: float
    """As in ``CaptionDefaults``."""
    min_tokens: int
    """Symbols before which no stop symbol is taken."""
    max_tokens: int
    """Symbols at which a caption is complete."""
    atol: float
    """Tolerance, nats."""
    source: str = field(default="")
    """As in ``Golden``."""


def save_golden(path: Path, golden: Golden) -> None:
    """Write ``golden`` as an .npz without pickles."""
    arrays: dict[str, npt.NDArray[np.generic]] = {
        **{f"input:{name}": array for name, array in golden.inputs.items()},
        **{f"output:{name}": array for name, array in golden.outputs.items()},
        "atol": np.asarray(golden.atol, np.float64),
        "rtol": np.asarray(golden.rtol, np.float64),
        "source": np.asarray(golden.source),
    }
    with path.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def load_golden(path: Path) -> Golden:
    """Read what ``save_golden`` wrote. Raises ArtifactError naming the file and the fault."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return Golden(
            inputs=_with_prefix(arrays, "input:"),
            outputs=_with_prefix(arrays, "output:"),
            atol=float(arrays["atol"]),
            rtol=float(arrays["rtol"]),
            source=str(arrays["source"]),
        )
    except (OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise ArtifactError(f"{path} is not a golden file: {error}") from error


def save_caption_golden(path: Path, golden: CaptionGolden) -> None:
    """Write ``golden`` as an .npz without pickles; captions one after the other."""
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "images": golden.images,
        "lengths": np.array([len(tokens) for tokens in golden.tokens], np.int64),
        "tokens": np.concatenate(golden.tokens),
        "log_probabilities": np.concatenate(golden.log_probabilities),
        **{name: np.asarray(getattr(golden, name)) for name in _CAPTION_FACTS},
    }
    with path.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def load_caption_golden(path: Path) -> CaptionGolden:
    """Read what ``save_caption_golden`` wrote. Raises ArtifactError naming the file and fault."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        lengths, images = arrays["lengths"], np.asarray(arrays["images"], np.uint8)
        if len(lengths) != len(images) or lengths.sum() != len(arrays["tokens"]):
            raise ValueError(f"{len(images)} pictures have captions of {lengths.tolist()} symbols")
        ends = np.cumsum(lengths)[:-1]
        return CaptionGolden(
            images=images,
            tokens=tuple(np.split(np.asarray(arrays["tokens"], np.int64), ends)),
            log_probabilities=tuple(
                np.split(np.asarray(arrays["log_probabilities"], np.float32), ends)
            ),
            **{name: kind(arrays[name]) for name, kind in _CAPTION_FACTS.items()},
        )
    except (OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise ArtifactError(f"{path} is not a golden file of captions: {error}") from error


_CAPTION_FACTS: Mapping[str, Callable[[Any], Any]] = {
    "beam_width": int,
    "length_penalty": float,
    "min_tokens": int,
    "max_tokens": int,
    "atol": float,
    "source": str,
}
"""Fields of ``CaptionGolden`` of one value -> how they are read back."""


def _with_prefix(
    arrays: Mapping[str, npt.NDArray[np.generic]], prefix: str
) -> dict[str, npt.NDArray[np.generic]]:
    found = {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
    if not found:
        raise ValueError(f"no array named '{prefix}...'")
    return found
