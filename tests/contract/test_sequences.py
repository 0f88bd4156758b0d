"""Stateful models through the stock clients of both protocols."""

import json
import queue
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from tests.e2e.process import ServerProcess, wait_until
from tests.stateful_graphs import sums, write_stateful

Step = Callable[..., Any]
"""Takes model, x, wire datatype and the sequence's options; gives the client's result."""


@pytest.fixture(scope="module")
def stateful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(write_stateful(tmp_path_factory.mktemp("stateful")))
    try:
        yield process.wait_ready()
    finally:
        process.close()


def tensors(module: Any, x: Any, datatype: str) -> list[Any]:
    values = np.asarray(x, {"INT64": np.int64, "FP32": np.float32}[datatype])
    tensor = module.InferInput("x", list(values.shape), datatype)
    tensor.set_data_from_numpy(values)
    return [tensor]


@pytest.fixture(params=["http", "grpc"])
def step(request: pytest.FixtureRequest, stateful: ServerProcess) -> Iterator[Step]:
    module = {"http": tritonclient.http, "grpc": tritonclient.grpc}[request.param]
    address = stateful.http_address if request.param == "http" else stateful.grpc_address
    with module.InferenceServerClient(address) as client:

        def infer(model: str, x: Any, datatype: str = "INT64", **options: Any) -> Any:
            return client.infer(model, tensors(module, x, datatype), **options)

        yield infer


def start_and_end(place: int, count: int) -> dict[str, bool]:
    return {"sequence_start": place == 0, "sequence_end": place == count - 1}


def test_metadata_hides_states(stateful: ServerProcess) -> None:
    with tritonclient.http.InferenceServerClient(stateful.http_address) as client:
        metadata = client.get_model_metadata("two_sums")
        assert [tensor["name"] for tensor in metadata["inputs"]] == ["x"]
        assert [tensor["name"] for tensor in metadata["outputs"]] == ["sums"]
        assert "sequence" in client.get_server_metadata()["extensions"]
        config = client.get_model_config("two_sums")
        assert config["sequence_batching"]["oldest"]["max_candidate_sequences"] == 3


@pytest.mark.parametrize("name", [101, 2**63 - 1, "call-1"])
def test_state_is_kept_from_request_to_request(step: Step, name: int | str) -> None:
    answers = [
        step("two_sums", [[x]], sequence_id=name, **start_and_end(place, 4))
        for place, x in enumerate((3, -1, 2, 8))
    ]
    assert [answer.as_numpy("sums")[0].tolist() for answer in answers] == sums([3, -1, 2, 8])


def test_number_and_text_are_two_sequences(step: Step) -> None:
    step("two_sums", [[1]], sequence_id=7, sequence_start=True)
    step("two_sums", [[2]], sequence_id="7", sequence_start=True)
    ends = [step("two_sums", [[0]], sequence_id=name, sequence_end=True) for name in (7, "7")]
    assert [end.as_numpy("sums")[0, 0] for end in ends] == [1001, 1002]


def test_start_on_a_live_id_begins_anew(step: Step) -> None:
    step("two_sums", [[1]], sequence_id=8, sequence_start=True)
    again = step("two_sums", [[5]], sequence_id=8, sequence_start=True, sequence_end=True)
    assert again.as_numpy("sums")[0].tolist() == sums([5])[0]


@pytest.mark.parametrize("state", ["never begun", "ended"])
def test_step_of_no_sequence_is_refused_in_the_protocols_words(step: Step, state: str) -> None:
    if state == "ended":
        step("two_sums", [[1]], sequence_id=55, sequence_start=True, sequence_end=True)
    with pytest.raises(InferenceServerException) as caught:
        step("two_sums", [[1]], sequence_id=55)
    assert caught.value.message() == (
        "inference request for sequence 55 to model 'two_sums' must specify the START flag on the "
        "first request of the sequence"
    )
    assert caught.value.status() in ("400", "StatusCode.INVALID_ARGUMENT")


def test_request_without_an_id_is_refused_in_the_protocols_words(step: Step) -> None:
    with pytest.raises(InferenceServerException) as caught:
        step("two_sums", [[1]])
    assert caught.value.message() == (
        "inference request to model 'two_sums' must specify a non-zero or non-empty correlation ID"
    )


def test_several_rows_are_refused_in_the_protocols_words(step: Step) -> None:
    with pytest.raises(InferenceServerException) as caught:
        step("two_sums", [[1], [2]], sequence_id=9, sequence_start=True)
    assert caught.value.message().startswith(
        "inference request to model 'two_sums' must specify batch-size 1 due to requirements of "
        "sequence batcher"
    )


def test_idle_sequence_makes_room_for_one_that_waits(step: Step) -> None:
    """``total`` has one slot and forgets after 0.3 s: the second start is answered only then."""
    step("total", [1, 2], "FP32", sequence_id=6, sequence_start=True)
    second = step("total", [3, 4], "FP32", sequence_id=7, sequence_start=True, sequence_end=True)
    assert second.as_numpy("y").tolist() == [3, 4]
    with pytest.raises(InferenceServerException, match="must specify the START flag"):
        step("total", [1, 2], "FP32", sequence_id=6)


def test_metrics_tell_how_many_sequences_live(step: Step, stateful: ServerProcess) -> None:
    def count(state: str) -> float:
        return stateful.metric("quartet_sequences", model="gru", version="1", state=state)

    wait_until(lambda: count("live") == 0, "the end of other tests' sequences")
    step("gru", [[1, 2, 3]], "FP32", sequence_id=1, sequence_start=True)
    assert (count("live"), count("waiting")) == (1, 0)
    step("gru", [[1, 2, 3]], "FP32", sequence_id=1, sequence_end=True)
    assert count("live") == 0


def test_generate_keeps_the_state_too(stateful: ServerProcess) -> None:
    answers = []
    for place, x in enumerate((3, -1, 2)):
        body = {"x": [x], "sequence_id": 77, **start_and_end(place, 3)}
        answer = stateful.request("POST", "/v2/models/two_sums/generate", json.dumps(body).encode())
        assert answer.status == 200, answer.body
        answers.append(answer.json()["sums"])
    assert answers == sums([3, -1, 2])


def test_many_sequences_on_one_stream_answer_as_alone(stateful: ServerProcess) -> None:
    """Interleaved at random, on three slots; sequences that end make room for the next."""
    chance = random.Random(3)
    scripts = {
        n: [chance.randrange(-(2**30), 2**30) for _ in range(chance.randrange(1, 20))]
        for n in range(1, 31)
    }
    answers = _stream_all(stateful, scripts, chance)
    assert answers == {n: sums(xs) for n, xs in scripts.items()}


def _stream_all(
    server: ServerProcess, scripts: dict[int, list[int]], chance: random.Random
) -> dict[int, list[list[int]]]:
    """Send every sequence's steps in their order, those of three sequences mixed at a time."""
    got: queue.Queue[tuple[Any, Any]] = queue.Queue()
    waiting = dict(scripts)
    live: dict[int, int] = {}
    sent = 0
    with tritonclient.grpc.InferenceServerClient(server.grpc_address) as client:
        client.start_stream(callback=lambda result, error: got.put((result, error)))
        while waiting or live:
            while waiting and len(live) < 3:
                live[min(waiting)] = 0
                del waiting[min(waiting)]
            number = chance.choice(list(live))
            place, xs = live[number], scripts[number]
            client.async_stream_infer(
                "two_sums",
                tensors(tritonclient.grpc, [[xs[place]]], "INT64"),
                request_id=str(number),
                sequence_id=number,
                **start_and_end(place, len(xs)),
            )
            sent += 1
            live[number] += 1
            if live[number] == len(xs):
                del live[number]
        client.stop_stream()
    answers: dict[int, list[list[int]]] = {number: [] for number in scripts}
    assert got.qsize() == sent
    for result, error in (got.get_nowait() for _ in range(sent)):
        assert error is None, error
        answers[int(result.get_response().id)].append(result.as_numpy("sums")[0].tolist())
    return answers


def test_sequences_of_many_clients_answer_as_alone(stateful: ServerProcess) -> None:
    """A network on eight-row batches: each client compares with its sequence run alone."""
    generator = np.random.default_rng(2)
    scripts = [generator.normal(size=(12, 3)).astype(np.float32) for _ in range(16)]
    alone = [_run(stateful, n + 1, xs) for n, xs in enumerate(scripts)]
    crowd: dict[int, Any] = {}

    def live(number: int, xs: Any) -> None:
        crowd[number] = _run(stateful, number, xs)

    threads = [threading.Thread(target=live, args=(n + 1, xs)) for n, xs in enumerate(scripts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for number, one in enumerate(alone, start=1):
        # Kernels may sum the products of larger batches in another order: float32 rounding.
        np.testing.assert_allclose(crowd[number], one, rtol=0, atol=1e-5)


def _run(server: ServerProcess, number: int, xs: Any) -> Any:
    with tritonclient.http.InferenceServerClient(server.http_address) as client:
        return [
            client.infer(
                "gru",
                tensors(tritonclient.http, [x], "FP32"),
                sequence_id=number,
                **start_and_end(place, len(xs)),
            ).as_numpy("y")[0]
            for place, x in enumerate(xs)
        ]
