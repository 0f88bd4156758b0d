"""What a generator's folder, its configuration and the server's settings make together."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from quartet.artifact import METADATA_KEY, load_golden, save_golden
from quartet.config import ConfigError
from serving import cli
from serving.errors import ShuttingDown
from serving.generation_types import GenerateRequest, collect
from serving.loaded_model import Engines, LoadedModel
from serving.loading import load_version
from serving.pbtxt import read_config
from serving.repository import ModelRepository
from serving.settings import GenerationSettings
from serving.types import Datatype, TensorSpec
from serving.version_hash import version_sha256
from tests.caption_models import make_caption_model
from tests.serving_parts import make_engines
from tests.text_models import make_text_model
from training.export.model_config import generator_config_text

CONFIG = generator_config_text("m")
"""As the exporter writes it."""


def load(root: Path, config: str = "", engines: Engines | None = None) -> LoadedModel:
    """Load version 1 of the model ``m`` in ``root``, which is made if need be."""
    folder = root / "m"
    if not folder.exists():
        make_text_model(folder)
    (folder / "config.pbtxt").write_text(config)
    return load_version(
        "m", 1, folder, read_config(folder / "config.pbtxt"), engines or make_engines()
    )


def engines_with(**settings: int) -> Engines:
    return make_engines(generation=GenerationSettings(**settings))


def change_declaration(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Rewrite what ``folder``/model.onnx says of itself."""
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    (entry,) = [entry for entry in model.metadata_props if entry.key == METADATA_KEY]
    declared = json.loads(entry.value)
    change(declared)
    entry.value = json.dumps(declared)
    onnx.save(model, folder / "model.onnx")


@pytest.mark.parametrize("config", ["", CONFIG])
def test_a_text_model_has_the_signature_of_all_text_models(tmp_path: Path, config: str) -> None:
    model = load(tmp_path, config)
    text = Datatype.BYTES
    assert model.config.inputs == (TensorSpec("text_input", text, (1,)),)
    assert model.config.outputs == (
        TensorSpec("text_output", text, (1,)),
        TensorSpec("finish_reason", text, (1,)),
        TensorSpec("receipt", text, (1,)),
    )
    assert (model.config.max_batch_size, model.config.decoupled) == (0, True)
    assert model.task == "text_generation"
    assert model.generator is not None
    assert (model.checker, model.scheduler, model.classifier) == (None, None, None)


def test_configuration_that_clients_read_says_decoupled_and_unbatched(tmp_path: Path) -> None:
    message = load(tmp_path, CONFIG).message
    assert message.max_batch_size == 0
    assert message.model_transaction_policy.decoupled
    assert not message.HasField("dynamic_batching")
    assert [(i.name, list(i.dims)) for i in message.input] == [("text_input", [1])]
    assert [o.name for o in message.output] == ["text_output", "finish_reason", "receipt"]


def test_properties_tell_what_a_receipt_and_an_operator_need(tmp_path: Path) -> None:
    folder = make_text_model(tmp_path / "m", precision="int8")
    model = load(tmp_path, engines=make_engines(threads=2))
    assert model.properties == {
        "provider": "CPUExecutionProvider",
        "instances": "2",
        "intra_op_threads": "1",
        "max_batch_size": "0",
        "slots": "256",
        "steps": "16",
        "precision": "int8",
        "sha256": version_sha256(folder),
        "golden_check": model.properties["golden_check"],
    }
    decode, prefill = model.properties["golden_check"].split("; ")
    assert decode.startswith("decode: passed, largest difference ")
    assert prefill.startswith("prefill: passed, largest difference ")


def test_settings_win_over_the_declaration(tmp_path: Path) -> None:
    make_text_model(tmp_path / "m", steps=8)
    assert load(tmp_path).properties["steps"] == "8"
    model = load(tmp_path, engines=engines_with(steps=4, slots=3))
    assert (model.properties["steps"], model.properties["slots"]) == ("4", "3")


def test_a_prefill_chunk_of_any_size_loads_at_once(tmp_path: Path) -> None:
    assert load(tmp_path, engines=engines_with(prefill_chunk=65536)).generator is not None


def test_a_declaration_in_the_configuration_wins_over_the_graphs(tmp_path: Path) -> None:
    folder = make_text_model(tmp_path / "m", steps=8)
    declared = onnx.load(folder / "model.onnx", load_external_data=False).metadata_props[0].value
    escaped = json.dumps(declared.replace('"steps":8', '"steps":2'))
    config = f'parameters {{ key: "{METADATA_KEY}" value {{ string_value: {escaped} }} }}'
    assert load(tmp_path, config).properties["steps"] == "2"


def test_goldens_are_not_required(tmp_path: Path) -> None:
    make_text_model(tmp_path / "m", goldens=False)
    model = load(tmp_path)
    assert model.properties["golden_check"] == "decode: no golden file; prefill: no golden file"


@pytest.mark.parametrize(
    ("graph", "file", "output"),
    [
        ("decode", "golden.npz", "tokens"),
        ("decode", "golden.npz", "log_probabilities"),
        ("prefill", "prefill.golden.npz", "log_probabilities"),
        ("prefill", "prefill.golden.npz", "next_hidden"),
    ],
)
def test_goldens_that_differ_keep_the_model_from_loading(
    tmp_path: Path, graph: str, file: str, output: str
) -> None:
    folder = make_text_model(tmp_path / "m")
    golden = load_golden(folder / file)
    wrong = np.array(golden.outputs[output])
    wrong[-1, -1] += 1  # the smallest mistake that a symbol can make
    golden.outputs[output][...] = wrong
    save_golden(folder / file, golden)
    with pytest.raises(
        ConfigError, match=f"{graph} graph: golden check failed: output '{output}' differs by"
    ):
        load(tmp_path)


def test_a_damaged_golden_file_is_named(tmp_path: Path) -> None:
    folder = make_text_model(tmp_path / "m")
    (folder / "prefill.golden.npz").write_bytes(b"PK damaged")
    with pytest.raises(ConfigError, match=r"prefill graph: .*prefill\.golden\.npz is not a golden"):
        load(tmp_path)


def test_a_missing_second_graph_is_named(tmp_path: Path) -> None:
    (make_text_model(tmp_path / "m") / "prefill.onnx").unlink()
    with pytest.raises(ConfigError, match=r"m/1 has no file 'prefill\.onnx'"):
        load(tmp_path)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    (make_text_model(tmp_path / "m") / "weights.bin").unlink()
    with pytest.raises(ConfigError, match=r"model\.onnx: ONNX Runtime cannot load it: .*weights"):
        load(tmp_path)


def test_graphs_of_two_models_do_not_pass_for_one(tmp_path: Path) -> None:
    folder = make_text_model(tmp_path / "m")
    other = make_text_model(tmp_path / "other", width=32)
    for file in ("prefill.onnx", "weights.bin"):
        (other / file).rename(folder / f"other.{file}")
    model = onnx.load(folder / "other.prefill.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "other.weights.bin"
    onnx.save(model, folder / "prefill.onnx")
    with pytest.raises(ConfigError, match=r"prefill graph: input '.*' is FP32 .*32\], but input"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda d: d["states"].pop(), "is not declared and not part of a generator"),
        (lambda d: d["vocabulary"].append("é"), "symbols on its last axis, but the vocabulary"),
        (lambda d: d.update(begin="é"), "begin: 'é' is no symbol of the vocabulary"),
        (lambda d: d["states"][0].update(input="h0"), "decode graph: input 'h0' is missing"),
    ],
)
def test_a_wrong_declaration_is_named(
    tmp_path: Path, change: Callable[[dict[str, object]], object], named: str
) -> None:
    change_declaration(make_text_model(tmp_path / "m"), change)
    with pytest.raises(ConfigError, match=named):
        load(tmp_path)


def test_a_text_model_with_constants_is_refused(tmp_path: Path) -> None:
    def call_it_text(declaration: dict[str, object]) -> None:
        for field in ("image", "grid", "hidden", "defaults"):
            del declaration[field]
        declaration["task"] = "text_generation"

    change_declaration(make_caption_model(tmp_path / "m", goldens=False), call_it_text)
    with pytest.raises(ConfigError, match=r"constants: \['keys', 'values'\] are declared, but"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ("max_batch_size: 4", "max_batch_size is 4, but the first axis of input 'text_input'"),
        ("model_transaction_policy { decoupled: false }", "expected decoupled: true"),
        (
            'input [ { name: "prompt" data_type: TYPE_STRING dims: [ 1 ] } ]',
            "input 'prompt' is not in the graph, which has ..text_input",
        ),
    ],
)
def test_a_configuration_that_contradicts_the_signature_is_refused(
    tmp_path: Path, config: str, named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        load(tmp_path, config)


def test_a_model_that_fails_to_load_leaves_no_trace_in_the_metrics(tmp_path: Path) -> None:
    engines = make_engines()
    (make_text_model(tmp_path / "m") / "prefill.onnx").unlink()
    with pytest.raises(ConfigError):
        load(tmp_path, engines=engines)
    assert b'model="m"' not in engines.metrics.render()


def test_a_loaded_model_shows_in_the_metrics_with_its_slots(tmp_path: Path) -> None:
    engines = engines_with(slots=5)
    load(tmp_path, engines=engines)
    rendered = engines.metrics.render().decode()
    assert 'quartet_generation_slots{model="m",version="1"} 5.0' in rendered
    assert 'quartet_generation_rows{model="m",state="active",version="1"} 0.0' in rendered
    assert 'quartet_generation_texts_total{model="m",reason="stop",version="1"} 0.0' in rendered
    assert 'quartet_queue_size{model="m",version="1"} 0.0' in rendered


async def test_a_text_model_that_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    make_text_model(tmp_path / "good")
    make_text_model(tmp_path / "bad")
    (tmp_path / "bad" / "1" / "prefill.onnx").unlink()
    repository = ModelRepository(tmp_path, make_engines())
    await repository.load_all()
    assert [model.name for model in repository.ready_models()] == ["good"]
    reason = repository.models["bad"].versions[1].reason
    assert reason == "bad/1 has no file 'prefill.onnx'"
    await repository.drain()
    repository.close()


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Gives back the loggers that a command has set up for its process."""
    loggers = [logging.getLogger(n) for n in (None, "uvicorn", "uvicorn.error", "asyncio", "PIL")]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.mark.usefixtures("own_logging")
def test_models_command_describes_a_text_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_text_model(tmp_path / "poet")
    status = cli.models(["--model-repository", str(tmp_path), "--device", "cpu"])
    report = json.loads(capsys.readouterr().out)["poet"]["1"]
    assert status == 0
    assert (report["state"], report["task"]) == ("READY", "text_generation")
    assert report["inputs"] == {"text_input": ["BYTES", 1]}
    assert report["slots"] == "256"


def test_doctor_command_works_beside_text_models(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_text_model(tmp_path / "poet")
    status = cli.doctor(["--model-repository", str(tmp_path), "--device", "cpu"])
    assert status == 0
    assert json.loads(capsys.readouterr().out)["model_repository"]["exists"] is True


async def written(model: LoadedModel, prompt: str, *, seed: int, max_tokens: int) -> str:
    """The text that ``model`` writes after ``prompt``."""
    assert model.generator is not None
    request = GenerateRequest(
        model_name=model.name, prompt=prompt, seed=seed, max_tokens=max_tokens
    )
    (text,) = await collect(model.generator.start(request))
    return text.text


@pytest.fixture
def running() -> Iterator[Engines]:
    """Engines whose threads work."""
    engines = make_engines(threads=2, generation=GenerationSettings(slots=4, steps=4))
    engines.pool.start()
    yield engines
    engines.pool.stop()


async def test_a_text_is_the_same_in_a_crowd_and_under_other_settings(
    tmp_path: Path, running: Engines
) -> None:
    model = load(tmp_path, engines=running)
    alone = await written(model, "Hello", seed=7, max_tokens=50)
    crowd = await asyncio.gather(
        *(written(model, "Hello" + "o" * i, seed=7 + i, max_tokens=50 - i) for i in range(12))
    )
    assert crowd[0] == alone
    assert len(set(crowd)) == 12
    other = make_engines(generation=GenerationSettings(slots=9, steps=7, prefill_chunk=2))
    other.pool.start()
    assert await written(load(tmp_path, engines=other), "Hello", seed=7, max_tokens=50) == alone
    other.pool.stop()


async def test_drain_waits_for_the_texts_under_way(tmp_path: Path, running: Engines) -> None:
    model = load(tmp_path, engines=running)
    texts = [
        asyncio.create_task(written(model, "Go", seed=seed, max_tokens=90)) for seed in range(6)
    ]
    await asyncio.sleep(0)
    await model.drain()
    assert [len(await text) for text in texts] == [90] * 6


async def test_closing_a_model_ends_its_texts_as_a_shutdown(
    tmp_path: Path, running: Engines
) -> None:
    model = load(tmp_path, engines=running)
    assert model.generator is not None
    request = GenerateRequest(model_name="m", prompt="Go", max_tokens=100_000)
    answer = model.generator.start(request)
    pieces = aiter(answer)
    await anext(pieces)
    model.close()
    model.interrupt()
    with pytest.raises(ShuttingDown):
        async for _ in pieces:
            pass
    await model.drain()
    with pytest.raises(ShuttingDown):
        model.generator.start(request)
