"""The body of ``POST /v1/completions``, as clients of that API write it.

Beside the API's own fields it takes this server's: ``top_k``, ``repetition_penalty``,
``beam_width``, ``length_penalty``, ``unknown``, ``receipt`` and ``session``, which the ``openai``
package sends as ``extra_body``. A ``model`` that ends in ``:`` and digits names a version.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from serving.errors import InvalidInput
from serving.generation_types import GenerateRequest, Receipt
from serving.receipts import parse_receipt
from serving.rest.fields import (
    Reader,
    an_object,
    flag,
    ids,
    number,
    one_of,
    parse_object,
    read_members,
    refused,
    text,
    texts,
    whole,
    wrong,
)
from serving.tasks.generation_plan import check_scores

API_MAX_TOKENS = 16
"""Symbols written where a request does not say; the API's default, as temperature and top_p."""
MAX_PROMPTS = 128
"""Prompts of one request."""
MAX_CHARACTERS = 1_000_000
"""Of all prompts of one request, ids counted as characters. They are split into symbols in one go,
some 40 ms for as many."""
MAX_TEXTS_IN_ALL = 1024
"""Texts written for all prompts of one request; more would never fit into the queue."""
BODY_BYTES = 16 * 1024 * 1024
"""Largest body: room for as many characters, each of them escaped."""
SEEDS = 2**63
"""Seeds are below it."""

UNKNOWN = one_of("map", "refuse")
"""Reads what shall become of characters that the model does not know."""

Prompt = str | tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionCall:
    """What a completions request asks for."""

    requests: tuple[GenerateRequest, ...]
    """One for each prompt, in their order."""
    model: str
    """As the request names it."""
    stream: bool
    include_usage: bool
    """Streams: end with the usage."""

    @property
    def n(self) -> int:
        """Texts of each prompt."""
        return self.requests[0].n


def parse_completion(body: bytes, *, session: str = "") -> CompletionCall:
    """Decode a request.

    Args:
        body: the whole body, decompressed.
        session: the stored state to continue, if the path names one.

    Raises:
        InvalidInput: the body contradicts the API; the text begins with the field at fault.
    """
    values = read_members(parse_object(body), _READERS)
    model = values.get("model")
    if model is None and not session:
        raise InvalidInput("model: expected the name of a model, or NAME:VERSION")
    stream = values.get("stream", False)
    options = values.get("stream_options")
    if options is not None and not stream:
        raise InvalidInput("stream_options: only for streams; leave it out or set 'stream'")
    prompts: tuple[Prompt, ...] = values.get("prompt", ("",))
    session = _session(values, session, prompts)
    first = _request(values, session)
    if stream:
        _refuse_unstreamable(first)
    if len(prompts) > 1:
        _check_together(first, prompts)
    return CompletionCall(
        requests=tuple(_with_prompt(first, prompt) for prompt in prompts),
        model=model or "",
        stream=stream,
        include_usage=bool(options and options.get("include_usage", False)),
    )


def following(request: GenerateRequest, receipt: Receipt, place: int) -> GenerateRequest:
    """``request`` for prompt number ``place``, where ``receipt`` is that of the first.

    Prompt i is written with the seed of the first plus i: equal prompts get different texts, and
    one receipt tells the seeds of all.
    """
    seed = (receipt.seed + place) % SEEDS
    if request.receipt is not None:
        return replace(request, receipt=replace(request.receipt, seed=seed), seed=None)
    return replace(request, seed=seed)


def split_model(model: str) -> tuple[str, str]:
    """Name and version (empty: none asked for) of ``name`` or ``name:version``."""
    name, colon, version = model.rpartition(":")
    if colon and version.isascii() and version.isdecimal():
        return name, version
    return model, ""


def _request(values: Mapping[str, Any], session: str) -> GenerateRequest:
    name, version = split_model(values.get("model", ""))
    return GenerateRequest(
        model_name=name,
        model_version=version,
        max_tokens=values.get("max_tokens", API_MAX_TOKENS),
        temperature=values.get("temperature", 1.0),
        top_k=values.get("top_k"),
        top_p=values.get("top_p", 1.0),
        repetition_penalty=values.get("repetition_penalty"),
        presence_penalty=values.get("presence_penalty", 0.0),
        frequency_penalty=values.get("frequency_penalty", 0.0),
        stop=values.get("stop", ()),
        seed=values.get("seed"),
        n=values.get("n", 1),
        best_of=values.get("best_of"),
        beam_width=values.get("beam_width"),
        length_penalty=values.get("length_penalty", 1.0),
        logprobs=values.get("logprobs"),
        echo=values.get("echo", False),
        unknown=values.get("unknown", "map"),
        receipt=values.get("receipt"),
        session=session,
        client=values.get("user", ""),
    )


def _with_prompt(request: GenerateRequest, prompt: Prompt) -> GenerateRequest:
    if isinstance(prompt, str):
        return replace(request, prompt=prompt)
    return replace(request, prompt_ids=prompt)


def _session(values: Mapping[str, Any], session: str, prompts: Sequence[Prompt]) -> str:
    named = values.get("session", "")
    if session and named and session != named:
        raise InvalidInput(f"session: the path names {session!r}, the body {named!r}")
    if (session or named) and len(prompts) != 1:
        raise InvalidInput("prompt: a session takes one prompt at a time")
    return session or named


def _refuse_unstreamable(request: GenerateRequest) -> None:
    """Texts that are chosen among several are known at the end alone."""
    if request.best_of is not None and request.best_of != request.n:
        raise InvalidInput("best_of: cannot be streamed; leave out 'stream' or 'best_of'")
    if request.beam_width is not None:
        raise InvalidInput("beam_width: cannot be streamed; leave out 'stream' or 'beam_width'")


def _check_together(request: GenerateRequest, prompts: Sequence[Prompt]) -> None:
    """Refuse what is too much for several prompts together; each alone is the model's business."""
    characters = sum(map(len, prompts))
    if characters > MAX_CHARACTERS:
        raise InvalidInput(
            f"prompt: {characters} characters or ids in all, at most {MAX_CHARACTERS} are taken"
        )
    texts = len(prompts) * max(request.n, request.best_of or 0, request.beam_width or 0)
    if texts > MAX_TEXTS_IN_ALL:
        raise InvalidInput(
            f"n: {texts} texts for {len(prompts)} prompts, at most {MAX_TEXTS_IN_ALL} are written "
            "for one request"
        )
    check_scores(request, max(request.max_tokens or 0, 0), [len(prompt) for prompt in prompts])


def _prompts(name: str, value: Any) -> tuple[Prompt, ...]:
    """A string, an array of strings, an array of ids, or an array of arrays of ids."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not value:
        raise wrong(name, _PROMPT, value)
    if type(value[0]) is int:
        return (ids(name, value),)
    if len(value) > MAX_PROMPTS:
        raise InvalidInput(f"{name}: {len(value)} prompts, at most {MAX_PROMPTS} are taken")
    if isinstance(value[0], str):
        return tuple(text(f"{name}[{i}]", item) for i, item in enumerate(value))
    return tuple(ids(f"{name}[{i}]", item) for i, item in enumerate(value))


_PROMPT = "a string, or an array of strings, of symbol ids, or of arrays of symbol ids"


def _stream_options(name: str, value: Any) -> dict[str, Any]:
    options = read_members(
        an_object(name, value), {"include_usage": flag, "include_obfuscation": flag}
    )
    if options.get("include_obfuscation", False):
        raise InvalidInput("stream_options: include_obfuscation is not supported; leave it out")
    return options


def _receipt(name: str, value: Any) -> Receipt:
    """The object ``receipt`` of an earlier answer."""
    return parse_receipt(orjson.dumps(value).decode())


_READERS: Mapping[str, Reader] = {
    "model": text,
    "prompt": _prompts,
    "max_tokens": whole,
    "temperature": number,
    "top_p": number,
    "n": whole,
    "stream": flag,
    "stream_options": _stream_options,
    "logprobs": whole,
    "echo": flag,
    "stop": texts,
    "presence_penalty": number,
    "frequency_penalty": number,
    "best_of": whole,
    "seed": whole,
    "user": text,
    "suffix": refused,
    "logit_bias": refused,
    "top_k": whole,
    "repetition_penalty": number,
    "beam_width": whole,
    "length_penalty": number,
    "unknown": UNKNOWN,
    "receipt": _receipt,
    "session": text,
}
COMPLETION_FIELDS = tuple(_READERS)
"""All that a request may have."""
