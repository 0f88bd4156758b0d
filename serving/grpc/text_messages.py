"""Messages of ``quartet.v1``'s generated text to and from ``serving.generation_types``."""

from typing import Final

from serving.errors import InvalidInput
from serving.generation_types import (
    FinishReason,
    GeneratedText,
    GenerateRequest,
    Piece,
    Receipt,
    Symbol,
    Usage,
)
from serving.grpc.converters import PROTOCOL
from serving.pb.quartet.v1 import quartet_pb2 as pb
from serving.tasks.generation_plan import MAX_PROMPT

FINISH_REASONS: Final = {
    None: pb.FINISH_REASON_UNSPECIFIED,
    FinishReason.STOP: pb.FINISH_REASON_STOP,
    FinishReason.LENGTH: pb.FINISH_REASON_LENGTH,
}
"""As texts and captions have it -> as their messages do."""
_GIVEN: Final = (
    "max_tokens",
    "temperature",
    "top_k",
    "top_p",
    "repetition_penalty",
    "seed",
    "n",
    "best_of",
    "beam_width",
    "length_penalty",
    "logprobs",
)
"""Fields with presence, under the same name in the message and in the request."""


def decode_generate(message: pb.GenerateTextRequest) -> GenerateRequest:
    """Read a request; whether its values are in range is the service's business.

    Raises:
        InvalidInput: it holds more ids than a prompt may, or a value that its enum lacks.
    """
    given = {name: getattr(message, name) for name in _GIVEN if message.HasField(name)}
    ids = None
    if message.HasField("prompt_ids"):
        if len(message.prompt_ids.ids) > MAX_PROMPT:
            raise InvalidInput(
                f"prompt: expected at most {MAX_PROMPT} symbols, got {len(message.prompt_ids.ids)}"
            )
        ids = tuple(message.prompt_ids.ids)
    if message.unknown not in pb.UnknownCharacters.values():
        raise InvalidInput(f"unknown: expected 0 to 2, got {message.unknown}")
    return GenerateRequest(
        model_name=message.model_name,
        model_version=message.model_version,
        prompt=message.prompt,
        prompt_ids=ids,
        presence_penalty=message.presence_penalty,
        frequency_penalty=message.frequency_penalty,
        stop=tuple(message.stop),
        echo=message.echo,
        unknown="refuse" if message.unknown == pb.UNKNOWN_CHARACTERS_REFUSE else "map",
        receipt=_decode_receipt(message.receipt) if message.HasField("receipt") else None,
        session=message.session,
        client=message.client,
        id=message.id,
        protocol=PROTOCOL,
        **given,
    )


def encode_started(answer: GeneratedText, asked: str) -> pb.GenerateTextResponse:
    """The first message.

    Args:
        answer: which has begun.
        asked: the request's id.
    """
    response = pb.GenerateTextResponse()
    started = response.started
    started.model_name = answer.model_name
    started.model_version = answer.model_version
    started.id = asked
    started.prompt = answer.prompt
    started.receipt.CopyFrom(_encode_receipt(answer.receipt))
    for replaced in answer.replaced:
        started.replaced.add(
            character=replaced.character, replacement=replaced.replacement, count=replaced.count
        )
    return response


def encode_piece(piece: Piece) -> pb.GenerateTextResponse:
    """One part of a text."""
    response = pb.GenerateTextResponse()
    message = response.piece
    message.index = piece.index
    message.text = piece.text
    message.finish_reason = FINISH_REASONS[piece.finish_reason]
    for symbol in piece.symbols:
        _encode_symbol(symbol, message.symbols.add())
    # An empty piece, too, says which of the cases it is.
    message.SetInParent()
    return response


def encode_finished(usage: Usage) -> pb.GenerateTextResponse:
    """The last message."""
    response = pb.GenerateTextResponse()
    response.finished.usage.prompt_tokens = usage.prompt_tokens
    response.finished.usage.completion_tokens = usage.completion_tokens
    response.finished.SetInParent()
    return response


def _encode_symbol(symbol: Symbol, message: pb.Symbol) -> None:
    message.text = symbol.text
    if symbol.log_probability is not None:
        message.log_probability = symbol.log_probability
    for text, log_probability in symbol.alternatives.items():
        message.alternatives.add(text=text, log_probability=log_probability)


def _encode_receipt(receipt: Receipt) -> pb.Receipt:
    return pb.Receipt(
        seed=receipt.seed,
        model=receipt.model,
        version=receipt.version,
        sha256=receipt.sha256,
        provider=receipt.provider,
        precision=receipt.precision,
    )


def _decode_receipt(message: pb.Receipt) -> Receipt:
    return Receipt(
        seed=message.seed,
        model=message.model,
        version=message.version,
        sha256=message.sha256,
        provider=message.provider,
        precision=message.precision,
    )
