"""Stateful graphs from their folder to their answers, in process."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quartet.artifact import Golden, save_golden
from quartet.config import ConfigError
from serving.effective_config import BatchingDefaults
from serving.errors import InvalidInput
from serving.loaded_model import LoadedModel
from serving.loading import load_version
from serving.pbtxt import read_config
from serving.repository import ModelRepository
from serving.service import InferenceService
from serving.types import DATATYPES, Array, InferRequest, ParameterValue, Tensor
from tests.serving_parts import make_engines, running_service
from tests.stateful_graphs import sums, write_stateful


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stateful(tmp_path_factory.mktemp("stateful"))


@pytest.fixture
async def service(root: Path) -> Iterator[InferenceService]:  # type: ignore[misc]  # pytest-asyncio runs it as a generator
    defaults = BatchingDefaults(max_batch_size=8, max_queue_rows=10_000)
    engines = make_engines(threads=2, instances=2, defaults=defaults)
    with running_service(root, engines=engines) as made:
        repository: ModelRepository = made[1]
        await repository.load_all()
        yield made[0]


def load(root: Path, name: str) -> LoadedModel:
    folder = root / name
    return load_version(name, 1, folder, read_config(folder / "config.pbtxt"), make_engines())


async def step(
    service: InferenceService,
    model: str,
    x: Any,
    id: int | str = 1,  # noqa: A002  the protocol's word
    flags: str = "",
    datatype: str = "FP32",
) -> dict[str, Array]:
    parameters: dict[str, ParameterValue] = {"sequence_id": id}
    if "s" in flags:
        parameters["sequence_start"] = True
    if "e" in flags:
        parameters["sequence_end"] = True
    kind = DATATYPES[datatype]
    request = InferRequest(
        model_name=model,
        inputs={"x": Tensor(kind, np.asarray(x, kind.dtype))},
        parameters=parameters,
    )
    response = await service.infer(request)
    return {name: tensor.data for name, tensor in response.outputs.items()}


async def test_states_are_hidden_and_kept_by_name(service: InferenceService) -> None:
    metadata = service.model_metadata("two_sums")
    assert [spec.name for spec in metadata.inputs] == ["x"]
    assert [spec.name for spec in metadata.outputs] == ["sums"]
    answers = []
    for place, x in enumerate((1, 2, 3)):
        flags = "s" if place == 0 else ""
        out = await step(service, "two_sums", [[x]], 7, flags, "INT64")
        answers.append(out["sums"][0].tolist())
    assert answers == sums([1, 2, 3])


async def test_configuration_shows_the_sequence_batching(service: InferenceService) -> None:
    message = service.model_config("two_sums")
    assert message.WhichOneof("scheduling_choice") == "sequence_batching"
    block = message.sequence_batching
    assert block.oldest.max_candidate_sequences == 3
    assert [(s.input_name, s.output_name) for s in block.state] == [("a", "z"), ("b", "y")]
    assert block.state[0].initial_state[0].data_file == "a0.raw"
    assert [tensor.name for tensor in message.input] == ["x"]
    controls = service.model_config("told").sequence_batching.control_input
    assert list(controls[0].control[0].int32_false_true) == [-5, 5]
    assert list(controls[2].control[0].bool_false_true) == [False, True]


async def test_control_tensors_tell_the_graph_of_its_step(service: InferenceService) -> None:
    first = await step(service, "told", [[0.0]], 2**63 + 1, "s")
    last = await step(service, "told", [[0.0]], 2**63 + 1, "e")
    told = ("start_told", "ready_told", "end_told", "id_told")
    assert [first[name].tolist() for name in told] == [[[5]], [[0.5]], [[False]], [[2**63 + 1]]]
    assert [last[name].tolist() for name in told] == [[[-5]], [[0.5]], [[True]], [[2**63 + 1]]]


async def test_text_ids_reach_the_graph(service: InferenceService) -> None:
    out = await step(service, "told_text", [[0.0]], "call-é", "se")
    assert out["id_told"].tolist() == [["call-é".encode()]]


async def test_model_without_a_batch_axis_keeps_its_state(service: InferenceService) -> None:
    await step(service, "total", [1, 2], 1, "s")
    out = await step(service, "total", [10, 20], 1)
    assert out["y"].tolist() == [11, 22]


async def test_missing_id_and_start_are_named(service: InferenceService) -> None:
    with pytest.raises(InvalidInput, match="must specify a non-zero or non-empty correlation ID"):
        await step(service, "total", [1, 2], 0)
    with pytest.raises(InvalidInput) as caught:
        await step(service, "total", [1, 2], 99)
    assert caught.value.message == (
        "inference request for sequence 99 to model 'total' must specify the START flag on the "
        "first request of the sequence"
    )


async def _live(
    service: InferenceService, model: str, number: int, inputs: Any, output: str
) -> list[Array]:
    """One sequence; its steps are sent without waiting where a coin falls so."""
    chance = random.Random(number)
    datatype = "INT64" if model == "two_sums" else "FP32"
    steps = []
    for place, x in enumerate(inputs):
        flags = "s" * (place == 0) + "e" * (place == len(inputs) - 1)
        call = step(service, model, [x], number, flags, datatype)
        steps.append(asyncio.ensure_future(call))
        if chance.random() < 0.7:
            await steps[-1]
    return [answer[output][0] for answer in await asyncio.gather(*steps)]


async def test_sequences_in_a_crowd_answer_as_alone(service: InferenceService) -> None:
    """Three hundred sequences on three slots, bit for bit."""
    chance = random.Random(0)
    scripts = [
        [[chance.randrange(-(2**40), 2**40)] for _ in range(chance.randrange(1, 12))]
        for _ in range(300)
    ]
    crowd = await asyncio.gather(
        *(_live(service, "two_sums", n + 1, xs, "sums") for n, xs in enumerate(scripts))
    )
    for xs, answers in zip(scripts, crowd, strict=True):
        assert [answer.tolist() for answer in answers] == sums([x for (x,) in xs])


async def test_recurrent_network_in_a_crowd_answers_as_alone(service: InferenceService) -> None:
    generator = np.random.default_rng(1)
    scripts = [generator.normal(size=(9, 3)).astype(np.float32) for _ in range(24)]
    alone = [await _live(service, "gru", n + 1, xs, "y") for n, xs in enumerate(scripts)]
    crowd = await asyncio.gather(
        *(_live(service, "gru", n + 1, xs, "y") for n, xs in enumerate(scripts))
    )
    for one, many in zip(alone, crowd, strict=True):
        # Kernels may sum the products of larger batches in another order: float32 rounding over
        # nine steps of a contracting network, while another row's state differs by tenths.
        np.testing.assert_allclose(many, one, rtol=0, atol=1e-5)


def test_golden_file_may_set_states(tmp_path: Path) -> None:
    root = write_stateful(tmp_path)
    golden = Golden(
        inputs={
            "x": np.array([[1], [2]], np.int64),
            "b": np.array([[10], [20]], np.int64),
        },
        outputs={"sums": np.array([[1001, 21], [1002, 42]], np.int64)},
        source="a test",
    )
    save_golden(root / "two_sums" / "1" / "golden.npz", golden)
    assert load(root, "two_sums").properties["golden_check"].startswith("passed")


def test_initial_state_of_another_size_is_refused(tmp_path: Path) -> None:
    root = write_stateful(tmp_path)
    (root / "two_sums" / "initial_state" / "a0.raw").write_bytes(bytes(12))
    with pytest.raises(ConfigError) as caught:
        load(root, "two_sums")
    assert "state 'a': a0.raw has 12 bytes, dims [1] of INT64 need 8" in str(caught.value)
