"""The gate that answers pass, and the handlers behind it."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from serving.grpc.held_answers import AnswerGate, GuardedHandler


async def echo(request: bytes, _: Any) -> bytes:
    return request


async def watch(_: bytes, __: Any) -> AsyncIterator[bytes]:
    yield b"one"


def handler(**methods: Any) -> Any:
    return grpc.method_handlers_generic_handler("service", methods)


def details(method: str) -> Any:
    return SimpleNamespace(method=f"/service/{method}")


async def test_answer_waits_until_the_gate_is_released() -> None:
    gate = AnswerGate()
    gate.hold()
    answer = asyncio.ensure_future(gate.guard(echo)(b"a", None))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not answer.done()
    gate.release()
    assert await answer == b"a"


async def test_answers_pass_when_nothing_holds_them() -> None:
    gate = AnswerGate()
    gate.release()
    assert await gate.guard(echo)(b"a", None) == b"a"
    gate.hold()
    gate.release()
    assert await gate.guard(echo)(b"b", None) == b"b"


async def test_refused_call_does_not_wait() -> None:
    async def fail(_: bytes, __: Any) -> bytes:
        raise RuntimeError("aborted")

    gate = AnswerGate()
    gate.hold()
    with pytest.raises(RuntimeError, match="aborted"):
        await gate.guard(fail)(b"", None)


@pytest.mark.parametrize("shape", ["unary_unary", "unary_stream", "stream_stream"])
async def test_coroutine_of_any_shape_passes_the_gate(shape: str) -> None:
    gate = AnswerGate()
    make = getattr(grpc, f"{shape}_rpc_method_handler")
    guarded = GuardedHandler(handler(Echo=make(echo)), gate)
    found = guarded.service(details("Echo"))
    assert found is guarded.service(details("Echo"))
    gate.hold()
    answer = asyncio.ensure_future(getattr(found, shape)(b"a", None))
    await asyncio.sleep(0)
    assert not answer.done()
    gate.release()
    assert await answer == b"a"


def test_generator_is_left_as_it_is() -> None:
    method = grpc.unary_stream_rpc_method_handler(watch)
    guarded = GuardedHandler(handler(Watch=method), AnswerGate())
    assert guarded.service(details("Watch")).unary_stream is watch


def test_unknown_method_has_no_handler() -> None:
    assert GuardedHandler(handler(), AnswerGate()).service(details("Nothing")) is None
