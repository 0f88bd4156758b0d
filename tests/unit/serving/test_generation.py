"""Text through the service: real graphs and scheduler, tiny models."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.errors import (
    Conflict,
    DeadlineExceeded,
    InvalidInput,
    ModelNotFound,
    NotSupported,
    ServingError,
    ShuttingDown,
)
from serving.generation_types import (
    FinishedText,
    FinishReason,
    GeneratedText,
    GenerateRequest,
    collect,
)
from serving.metrics import Metrics
from serving.repository import ModelRepository
from serving.service import InferenceService
from serving.types import (
    ClassifyRequest,
    Datatype,
    InferRequest,
    InferResponse,
    ParameterValue,
    Tensor,
)
from tests.e2e.graphs import plus, write_model
from tests.serving_parts import infer_request, running_service
from tests.text_models import make_text_model

Parts = tuple[InferenceService, ModelRepository, Metrics]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of a text model, and a model of tensors."""
    folder = tmp_path_factory.mktemp("models")
    make_text_model(folder / "poet", goldens=False)
    make_text_model(folder / "poet", goldens=False, version=2, seed=1)
    (folder / "poet" / "config.pbtxt").write_text("version_policy { all {} }")
    write_model(folder, "plus", plus(1))
    return folder


@pytest.fixture
async def parts(root: Path) -> AsyncIterator[Parts]:
    with running_service(root) as made:
        await made[1].load_all()
        yield made


@pytest.fixture
def service(parts: Parts) -> InferenceService:
    return parts[0]


def wanted(**fields: Any) -> GenerateRequest:
    return GenerateRequest(
        **{"model_name": "poet", "prompt": "Hello", "max_tokens": 40, "seed": 7, **fields}
    )


async def text(service: InferenceService, **fields: Any) -> str:
    (one,) = await collect(await service.generate(wanted(**fields)))
    return one.text


def infer(**parameters: ParameterValue) -> InferRequest:
    data = np.empty(1, np.object_)
    data[0] = b"Hello"
    return InferRequest(
        model_name="poet",
        inputs={"text_input": Tensor(Datatype.BYTES, data)},
        parameters={"max_tokens": 40, "seed": 7, **parameters},
        id="9",
    )


def value(response: InferResponse, name: str) -> str:
    return bytes(response.outputs[name].data[0]).decode()


def counted(metrics: Metrics, outcome: str, model: str = "poet", version: str = "2") -> float:
    labels = {"model": model, "version": version, "protocol": "http", "outcome": outcome}
    return metrics.registry.get_sample_value("quartet_requests_total", labels) or 0.0


# --- generate ------------------------------------------------------------------------------------


async def test_generate_tells_what_gives_the_same_text_again(service: InferenceService) -> None:
    answer = await service.generate(wanted(seed=None))
    (first,) = await collect(answer)
    assert (answer.receipt.model, answer.receipt.version) == ("poet", "2")
    assert await text(service, seed=None, receipt=answer.receipt) == first.text
    assert len(first.text) == 40


async def test_generate_gives_the_same_text_alone_and_in_a_crowd(
    service: InferenceService,
) -> None:
    alone = [await text(service, seed=seed) for seed in range(3)]
    crowd = await asyncio.gather(*(text(service, seed=seed) for seed in range(12)))
    assert crowd[:3] == alone
    assert len(set(crowd)) == 12


async def test_a_beam_of_width_one_is_the_greedy_text(service: InferenceService) -> None:
    greedy = await text(service, temperature=0.0)
    assert await text(service, beam_width=1) == greedy


async def test_a_beam_search_is_the_same_in_a_crowd(service: InferenceService) -> None:
    alone = await collect_new(service, beam_width=4, n=3, logprobs=2)
    found, *_ = await asyncio.gather(
        collect_new(service, beam_width=4, n=3, logprobs=2),
        *(collect_new(service, seed=seed, n=4) for seed in range(3)),
    )
    assert found == alone
    assert len({one.text for one in alone}) == 3


async def collect_new(service: InferenceService, **fields: Any) -> tuple[FinishedText, ...]:
    return await collect(await service.generate(wanted(**fields)))


async def test_generate_asks_for_the_version_of_the_receipt(service: InferenceService) -> None:
    answer = await service.generate(wanted(model_version="1"))
    (first,) = await collect(answer)
    again = await service.generate(wanted(receipt=answer.receipt))
    assert again.model_version == "1"
    assert (await collect(again))[0].text == first.text


async def test_generate_refuses_a_receipt_of_a_version_that_is_gone(
    service: InferenceService,
) -> None:
    receipt = replace((await service.generate(wanted())).receipt, version="9")
    with pytest.raises(Conflict, match="version is '2' here, '9' in the receipt"):
        await service.generate(wanted(receipt=receipt))


@pytest.mark.parametrize(
    ("fields", "error", "model", "outcome"),
    [
        ({"model_name": "nobody"}, ModelNotFound, "", "not_found"),
        ({"model_name": "plus"}, NotSupported, "plus", "invalid"),
        ({"temperature": -1.0}, InvalidInput, "poet", "invalid"),
    ],
)
async def test_generate_refuses_before_anything_is_written(
    parts: Parts, fields: dict[str, Any], error: type[ServingError], model: str, outcome: str
) -> None:
    service, _, metrics = parts
    with pytest.raises(error) as refused:
        await service.generate(wanted(**fields))
    version = {"": "", "plus": "1", "poet": "2"}[model]
    assert refused.value.counted
    assert counted(metrics, outcome, model, version) == 1
    await asyncio.wait_for(service.drained(), 1)


async def test_a_text_that_was_read_counts_as_answered(parts: Parts) -> None:
    service, _, metrics = parts
    await text(service)
    assert counted(metrics, "ok") == 1
    (statistics,) = service.model_statistics("poet", "2")
    assert statistics["inference_stats"]["success"]["count"] == 1
    assert statistics["inference_stats"]["fail"]["count"] == 0


async def test_a_text_whose_reader_leaves_counts_as_cancelled(parts: Parts) -> None:
    service, repository, metrics = parts
    answer = await service.generate(wanted(max_tokens=5000))
    await anext(aiter(answer))
    assert counted(metrics, "cancelled") == 0
    await answer.aclose()
    assert counted(metrics, "cancelled") == 1
    # Its row ends at the next boundary between runs.
    await asyncio.wait_for(repository.drain(), 5)


async def test_a_text_whose_time_runs_out_counts_so(parts: Parts) -> None:
    service, _, metrics = parts
    answer = await service.generate(wanted(max_tokens=5000, deadline=0.0))
    with pytest.raises(DeadlineExceeded) as late:
        await collect(answer)
    assert late.value.counted
    assert counted(metrics, "deadline") == 1


# --- draining ------------------------------------------------------------------------------------


async def test_draining_waits_for_texts_that_are_written(service: InferenceService) -> None:
    answer = await service.generate(wanted(max_tokens=200))
    service.refuse_new()
    with pytest.raises(ShuttingDown):
        await service.generate(wanted())
    drained = asyncio.create_task(service.drained())
    (one,) = await collect(answer)
    assert (len(one.text), one.finish_reason) == (200, FinishReason.LENGTH)
    await asyncio.wait_for(drained, 1)


async def test_closing_cuts_off_what_is_written(parts: Parts) -> None:
    service, _, metrics = parts
    answer = await service.generate(wanted(max_tokens=50_000))
    pieces = aiter(answer)
    await anext(pieces)
    service.close()
    with pytest.raises(ShuttingDown):
        await exhaust(answer)
    assert counted(metrics, "unavailable") == 1
    await asyncio.wait_for(service.drained(), 1)


async def exhaust(answer: GeneratedText) -> None:
    async for _ in answer:
        pass


# --- the inference protocol ----------------------------------------------------------------------


async def test_infer_gives_the_whole_text(service: InferenceService) -> None:
    response = await service.infer(infer())
    assert value(response, "text_output") == await text(service)
    assert value(response, "finish_reason") == "length"
    assert json.loads(value(response, "receipt"))["seed"] == 7
    assert (response.model_name, response.model_version, response.id) == ("poet", "2", "9")
    assert response.final


async def test_stream_infer_gives_the_text_in_pieces(parts: Parts) -> None:
    service, _, metrics = parts
    responses = [response async for response in service.stream_infer(infer())]
    assert [response.final for response in responses] == [False, False, True]
    assert "".join(value(r, "text_output") for r in responses) == await text(service)
    assert [value(r, "finish_reason") for r in responses] == ["", "", "length"]
    assert [bool(value(r, "receipt")) for r in responses] == [False, False, True]
    assert {response.id for response in responses} == {"9"}
    assert counted(metrics, "ok") == 2


async def test_a_receipt_goes_back_as_a_parameter(service: InferenceService) -> None:
    request = infer()
    del request.parameters["seed"]  # type: ignore[attr-defined]  # a dict, as made above
    first = await service.infer(request)
    request.parameters = {**request.parameters, "receipt": value(first, "receipt")}
    again = await service.infer(request)
    assert value(again, "text_output") == value(first, "text_output")


async def test_stream_infer_of_a_model_of_tensors_gives_one_answer(parts: Parts) -> None:
    service, _, metrics = parts
    request = infer_request("plus", x=[[1, 2]])
    (response,) = [response async for response in service.stream_infer(request)]
    assert response.final
    assert response.outputs["y"].data.tolist() == [[2.0, 3.0]]
    assert counted(metrics, "ok", "plus", "1") == 1


async def test_stream_infer_refuses_at_its_first_answer(parts: Parts) -> None:
    service, _, metrics = parts
    with pytest.raises(InvalidInput, match="unknown parameter 'max_token'"):
        await anext(service.stream_infer(infer(max_token=1)))
    with pytest.raises(ModelNotFound):
        await anext(service.stream_infer(replace(infer(), model_name="nobody")))
    assert counted(metrics, "invalid") == 1
    assert counted(metrics, "not_found", "", "") == 1


async def test_a_stream_that_is_left_counts_as_cancelled(parts: Parts) -> None:
    service, repository, metrics = parts
    responses = service.stream_infer(infer(max_tokens=5000))
    await anext(responses)
    await responses.aclose()
    assert counted(metrics, "cancelled") == 1
    await asyncio.wait_for(repository.drain(), 5)
    await asyncio.wait_for(service.drained(), 1)


async def test_a_stream_that_is_left_behind_its_last_answer_counts_as_answered(
    parts: Parts,
) -> None:
    service, _, metrics = parts
    responses = service.stream_infer(infer(max_tokens=1))
    assert (await anext(responses)).final
    await responses.aclose()
    assert (counted(metrics, "ok"), counted(metrics, "cancelled")) == (1, 0)


async def test_only_models_that_write_text_are_decoupled(service: InferenceService) -> None:
    assert service.is_decoupled("poet")
    assert service.is_decoupled("poet", "1")
    assert not service.is_decoupled("plus")


async def test_classify_tells_that_a_model_writes_text(service: InferenceService) -> None:
    with pytest.raises(NotSupported):
        await service.classify(ClassifyRequest(model_name="poet", images=(b"x",)))


# --- sequences -----------------------------------------------------------------------------------


async def step(service: InferenceService, key: int | str, prompt: str = "", **more: Any) -> str:
    request = infer(sequence_id=key, **{"max_tokens": 10, **more})
    request.inputs["text_input"].data[0] = prompt.encode()
    if not more.get("sequence_start"):
        del request.parameters["seed"]  # type: ignore[attr-defined]  # a dict, as made above
    return value(await service.infer(request), "text_output")


async def test_a_sequence_goes_on_with_its_text(service: InferenceService) -> None:
    whole = await text(service, max_tokens=30)
    parts = [
        await step(service, 7, "Hello", sequence_start=True),
        await step(service, 7),
        await step(service, 7, sequence_end=True),
    ]
    assert "".join(parts) == whole


async def test_sequences_of_different_ids_are_apart(service: InferenceService) -> None:
    whole = await text(service, max_tokens=20)
    keys: list[int | str] = [1, "1", 2**64 - 1]
    first = [await step(service, key, "Hello", sequence_start=True) for key in keys]
    second = [await step(service, key) for key in keys]
    assert [a + b for a, b in zip(first, second, strict=True)] == [whole] * 3


async def test_a_sequence_must_be_begun(service: InferenceService) -> None:
    with pytest.raises(InvalidInput) as refused:
        await step(service, "talk")
    assert refused.value.message == (
        "inference request for sequence talk to model 'poet' must specify the START flag on the "
        "first request of the sequence"
    )


async def test_a_sequence_that_ended_is_gone(service: InferenceService) -> None:
    await step(service, 7, "Hello", sequence_start=True)
    await step(service, 7, sequence_end=True)
    with pytest.raises(InvalidInput, match="must specify the START flag"):
        await step(service, 7)


async def test_a_sequence_of_one_request_keeps_nothing(service: InferenceService) -> None:
    both = {"sequence_start": True, "sequence_end": True}
    assert await step(service, 7, "Hello", **both) == (await text(service))[:10]
    with pytest.raises(InvalidInput, match="must specify the START flag"):
        await step(service, 7)


async def test_a_sequence_that_begins_anew_forgets_its_text(service: InferenceService) -> None:
    first = await step(service, 7, "Hello", sequence_start=True)
    await step(service, 7)
    assert await step(service, 7, "Hello", sequence_start=True) == first


async def test_a_sequence_goes_on_when_its_new_beginning_is_refused(
    service: InferenceService,
) -> None:
    first = await step(service, 7, "Hello", sequence_start=True)
    with pytest.raises(InvalidInput, match="temperature"):
        await step(service, 7, "Hello", sequence_start=True, temperature=-1)
    assert first + await step(service, 7) == await text(service, max_tokens=20)


async def test_a_sequence_in_use_is_not_gone_on_with(service: InferenceService) -> None:
    responses = service.stream_infer(infer(sequence_id=7, sequence_start=True, max_tokens=5000))
    await anext(responses)
    for start in (True, False):
        with pytest.raises(Conflict):
            await step(service, 7, sequence_start=start)
    await responses.aclose()
    # Its first request was given up, so it never began.
    with pytest.raises(InvalidInput, match="must specify the START flag"):
        await step(service, 7)


async def test_a_sequence_of_other_weights_must_be_begun(
    service: InferenceService,
) -> None:
    await step(service, 7, "Hello", sequence_start=True)
    other = replace(infer(sequence_id=7), model_version="1")
    with pytest.raises(InvalidInput, match="must specify the START flag"):
        await service.infer(other)
