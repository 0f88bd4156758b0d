"""The answer of ``POST /v1/completions``, whole or as events, in the form of that API.

Beside the API's own keys the answer has ``receipt`` and, if the prompt held characters that the
model does not know, ``replaced_characters``. A stream has them in its first event.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson

from serving.generation_types import (
    FinishedText,
    GeneratedText,
    Piece,
    Receipt,
    Symbol,
)
from serving.rest.completion_request import CompletionCall
from serving.rest.sse import DONE, event

_GOES_ON = b',"logprobs":null,"finish_reason":null}]'


class CompletionWriter:
    """Writes the answer to one request."""

    def __init__(
        self,
        call: CompletionCall,
        answers: Sequence[GeneratedText],
        *,
        answer_id: str,
        created: int,
    ) -> None:
        """Take what is known before the first symbol.

        Args:
            call: the request.
            answers: one for each prompt.
            answer_id: the ``id`` of the answer.
            created: Unix time, seconds.
        """
        self._answers = answers
        self._n = call.n
        self._echo = call.requests[0].echo
        self._logprobs = call.requests[0].logprobs
        self._include_usage = call.include_usage
        self._head: dict[str, Any] = {
            "id": answer_id,
            "object": "text_completion",
            "created": created,
            "model": call.model or answers[0].model_name,
            "system_fingerprint": fingerprint(answers[0].receipt),
        }
        self._extra = self._facts()
        self._offsets: dict[int, int] = {}
        """Index -> where its next symbol begins; see ``_offset``."""
        self._beginnings: dict[int, bytes] = {}
        """Index -> the bytes of its events before their text."""
        self._ending = b',"usage":null}\n\n' if self._include_usage else b"}\n\n"
        self._first_ending = b"," + orjson.dumps(self._extra)[1:-1] + self._ending

    def event(self, piece: Piece) -> bytes:
        """One piece as an event."""
        beginning = self._beginnings.get(piece.index)
        if beginning is None:
            beginning = self._begin(piece.index)
        ending, self._first_ending = self._first_ending, self._ending
        if self._logprobs is None and piece.finish_reason is None:
            return beginning + orjson.dumps(piece.text) + _GOES_ON + ending
        rest = orjson.dumps(
            {
                "logprobs": self._log_probabilities(piece.index, piece.symbols),
                "finish_reason": piece.finish_reason,
            }
        )
        return beginning + orjson.dumps(piece.text) + b"," + rest[1:] + b"]" + ending

    def end(self) -> bytes:
        """The events behind the last piece."""
        if not self._include_usage:
            return DONE
        document = {**self._head, "choices": [], "usage": self._usage()}
        return event(orjson.dumps(document)) + DONE

    def whole(self, texts: Sequence[Sequence[FinishedText]]) -> bytes:
        """The whole answer; ``texts`` has those of each prompt, in the order of their index."""
        choices = [
            self._choice(place * self._n + text.index, text)
            for place, of_prompt in enumerate(texts)
            for text in of_prompt
        ]
        return orjson.dumps(
            {**self._head, "choices": choices, "usage": self._usage(), **self._extra}
        )

    def _begin(self, index: int) -> bytes:
        head = orjson.dumps(self._head)[:-1]
        beginning = b'data: %b,"choices":[{"index":%d,"text":' % (head, index)
        self._beginnings[index] = beginning
        return beginning

    def _choice(self, index: int, text: FinishedText) -> dict[str, Any]:
        return {
            "index": index,
            "text": text.text,
            "logprobs": self._log_probabilities(index, text.symbols),
            "finish_reason": text.finish_reason,
        }

    def _log_probabilities(
        self, index: int, symbols: Sequence[Symbol]
    ) -> dict[str, list[Any] | None] | None:
        """Of the symbols of text ``index`` that come next; None if nobody asked."""
        if self._logprobs is None:
            return None
        offset = self._offset(index)
        offsets = []
        for symbol in symbols:
            offsets.append(offset)
            offset += len(symbol.text)
        self._offsets[index] = offset
        return {
            "tokens": [symbol.text for symbol in symbols],
            "token_logprobs": [symbol.log_probability for symbol in symbols],
            "top_logprobs": [_top(symbol) for symbol in symbols] if self._logprobs else None,
            "text_offset": offsets,
        }

    def _offset(self, index: int) -> int:
        """Where the next symbol begins, in characters from the beginning of the prompt."""
        known = self._offsets.get(index)
        if known is not None:
            return known
        return 0 if self._echo else len(self._answers[index // self._n].prompt)

    def _usage(self) -> dict[str, int]:
        prompt = sum(answer.usage.prompt_tokens for answer in self._answers)
        completion = sum(answer.usage.completion_tokens for answer in self._answers)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }

    def _facts(self) -> dict[str, Any]:
        """What this server tells beyond the API."""
        counts: Counter[tuple[str, str]] = Counter()
        for answer in self._answers:
            for found in answer.replaced:
                counts[found.character, found.replacement] += found.count
        facts: dict[str, Any] = {"receipt": self._answers[0].receipt}
        if counts:
            facts["replaced_characters"] = [
                {"character": character, "replacement": replacement, "count": count}
                for (character, replacement), count in counts.items()
            ]
        return facts


def fingerprint(receipt: Receipt) -> str:
    """What the bytes of a seed depend on: the weights, and what computes with them."""
    return f"fp_{receipt.sha256[:12]}_{receipt.provider}_{receipt.precision}"


def _top(symbol: Symbol) -> dict[str, float] | None:
    """The likeliest symbols and the one that was drawn; None where nothing came before."""
    if symbol.log_probability is None:
        return None
    return {**symbol.alternatives, symbol.text: symbol.log_probability}
