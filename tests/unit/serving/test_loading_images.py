"""What a picture generator's folder, its configuration and the server's settings make together."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from quartet.artifact import METADATA_KEY, dump_task, load_golden, save_golden
from quartet.config import ConfigError
from serving.errors import NotSupported
from serving.loaded_model import Engines, LoadedModel
from serving.loading import load_version
from serving.loading_images import PROBE_ROWS
from serving.pbtxt import read_config
from serving.row_proof import rows_alone
from serving.types import Array
from tests.image_models import (
    ImageModel,
    critic_graph,
    generator_graph,
    image_task,
    make_image_model,
)
from tests.serving_parts import make_engines
from training.export.files import write_graphs


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator's folder with golden files, not to be changed."""
    folder = tmp_path_factory.mktemp("models") / "m"
    make_image_model(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy to be changed."""
    return Path(shutil.copytree(made, tmp_path / "m"))


def load(folder: Path, config: str = "", engines: Engines | None = None) -> LoadedModel:
    (folder / "config.pbtxt").write_text(config)
    return load_version(
        "m", 1, folder, read_config(folder / "config.pbtxt"), engines or make_engines()
    )


def change_golden(file: Path, **outputs: Any) -> None:
    golden = load_golden(file)
    save_golden(file, replace(golden, outputs={**golden.outputs, **outputs}))


def test_a_generator_takes_tensors_and_makes_pictures(folder: Path) -> None:
    model = load(folder)
    assert model.task == "image_generation"
    assert [spec.name for spec in model.config.inputs] == ["z"]
    assert [spec.name for spec in model.config.outputs] == ["image"]
    assert model.tensors() == (model.checker, model.scheduler)
    assert model.image_generator is not None
    assert model.image_generator.facts.max_batch_size == model.message.max_batch_size == 8


def test_its_critic_is_a_part(folder: Path) -> None:
    model = load(folder, "max_batch_size: 3\ndynamic_batching {}")
    assert list(model.parts) == ["critic"]
    critic = model.parts["critic"]
    assert (critic.name, critic.version, critic.config.max_batch_size) == ("m.critic", 1, 3)
    assert critic.message.default_model_filename == "critic.onnx"
    assert critic.properties["golden_check"] == "passed, largest difference 0"


def test_a_generator_needs_no_critic(folder: Path) -> None:
    (folder / "1" / "critic.onnx").unlink()
    model = load(folder)
    assert (dict(model.parts), model.properties["critic"]) == ({}, "none")
    assert model.image_generator is not None
    with pytest.raises(NotSupported, match="model 'm' has no discriminator"):
        model.image_generator.critic()


def test_properties_tell_what_was_proved_and_what_runs(folder: Path) -> None:
    properties = load(folder).properties
    assert properties["golden_check"] == "passed, largest difference 0"
    assert properties["directions"] == "older, redder"
    assert (properties["condition"], properties["critic"]) == ("none", "m.critic")
    assert properties["provider"] == "CPUExecutionProvider"


@pytest.mark.parametrize("condition", ["class", "prompt"])
def test_conditions_load(tmp_path: Path, condition: str) -> None:
    make_image_model(tmp_path / "m", condition=condition, mode="L")
    assert load(tmp_path / "m").properties["condition"] == condition


# --- goldens ---


def test_a_generator_that_makes_other_pictures_is_refused(folder: Path) -> None:
    file = folder / "1" / "golden.npz"
    change_golden(file, image=255 - np.asarray(load_golden(file).outputs["image"]))
    with pytest.raises(ConfigError, match="generator graph: golden check failed: output 'image'"):
        load(folder)


def test_a_critic_that_thinks_otherwise_is_refused(folder: Path) -> None:
    file = folder / "1" / "critic.golden.npz"
    change_golden(file, probability=np.full(5, 0.5, np.float32))
    with pytest.raises(ConfigError, match="critic graph: golden check failed"):
        load(folder)


def test_without_golden_files_nothing_is_proved(folder: Path) -> None:
    for file in folder.glob("1/*golden.npz"):
        file.unlink()
    model = load(folder)
    assert model.properties["golden_check"] == "no golden file"
    assert model.parts["critic"].properties["golden_check"] == "no golden file"


# --- batches ---


def test_rows_that_depend_on_their_company_run_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_image_model(tmp_path / "m", batch_dependent=True)
    with caplog.at_level(logging.WARNING):
        model = load(tmp_path / "m")
    assert model.config.max_batch_size == model.message.max_batch_size == 1
    assert not model.config.rules.join
    assert model.image_generator is not None
    assert model.image_generator.pieces(100).rows == 1
    assert "rows of 'image' in a batch of 2 differ from rows alone" in caplog.text
    assert model.parts["critic"].config.max_batch_size == 8


def test_a_generator_batches(folder: Path) -> None:
    with pytest.raises(ConfigError, match="generator graph: max_batch_size: a generator of"):
        load(folder, "max_batch_size: 0")


def test_a_generator_keeps_no_sequences(folder: Path) -> None:
    with pytest.raises(ConfigError, match="sequence_batching: a generator of pictures keeps"):
        load(folder, "max_batch_size: 4\nsequence_batching { }")


def test_warm_up_requests_of_the_file_are_run(folder: Path) -> None:
    inputs = 'inputs { key: "{}" value { data_type: TYPE_FP32 dims: [8] zero_data: true } }'
    warmup = 'model_warmup { name: "first" batch_size: 2 ' + inputs + " }"
    load(folder, "max_batch_size: 4\n" + warmup.replace("{}", "z"))
    with pytest.raises(ConfigError, match="generator graph: model_warmup"):
        load(folder, "max_batch_size: 4\n" + warmup.replace("{}", "y"))


# --- graphs that do not fit ---


def test_a_graph_that_is_not_what_is_declared_is_refused(folder: Path) -> None:
    graph = generator_graph(ImageModel())
    task = image_task(ImageModel(declaration={"height": 7}))
    helper.set_model_props(graph, {METADATA_KEY: dump_task(task)})
    write_graphs(folder / "1", {"model.onnx": graph})
    with pytest.raises(ConfigError, match="generator graph: output 'image' is UINT8"):
        load(folder)


def test_a_critic_of_another_generator_is_refused(folder: Path) -> None:
    write_graphs(folder / "1", {"critic.onnx": critic_graph(ImageModel(mode="L"))})
    with pytest.raises(ConfigError, match="critic graph: input 'image' is UINT8"):
        load(folder)


# --- fingerprint ---


def fingerprint(folder: Path, config: str = "") -> str:
    generator = load(folder, config).image_generator
    assert generator is not None
    return generator.facts.fingerprint


def test_a_version_has_one_fingerprint(folder: Path) -> None:
    first = fingerprint(folder)
    assert fingerprint(folder) == first
    assert len(bytes.fromhex(first)) == 32


def test_the_fingerprint_does_not_depend_on_how_a_version_is_scheduled(folder: Path) -> None:
    assert fingerprint(folder, "max_batch_size: 32") == fingerprint(folder, "max_batch_size: 1")


def test_golden_files_are_no_part_of_the_fingerprint(folder: Path) -> None:
    whole = fingerprint(folder)
    for file in folder.glob("1/*golden.npz"):
        file.unlink()
    assert fingerprint(folder) == whole


def test_other_weights_have_another_fingerprint(folder: Path, tmp_path: Path) -> None:
    make_image_model(tmp_path / "other", seed=1)
    assert fingerprint(tmp_path / "other") != fingerprint(folder)


def test_a_machine_that_computes_other_pixels_has_another_fingerprint(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = fingerprint(folder)

    def computed(*arguments: Any) -> Array:
        pictures = rows_alone(*arguments)
        pictures[PROBE_ROWS - 1, 0, 0, 0] ^= 1
        return pictures

    monkeypatch.setattr("serving.loading_images.rows_alone", computed)
    assert fingerprint(folder) != here


# --- pieces ---


@pytest.mark.parametrize(
    ("threads", "count", "rows", "ahead"),
    [
        (1, 1, 1, 2),
        (1, 5, 5, 2),
        (1, 100, 8, 2),
        (4, 1, 1, 4),
        (4, 6, 2, 4),
        (4, 100, 8, 4),
        (2, 16, 8, 3),
        (16, 8, 2, 4),
    ],
)
def test_an_answer_is_cut_to_fill_what_may_run_at_once(
    folder: Path, threads: int, count: int, rows: int, ahead: int
) -> None:
    generator = load(folder, engines=make_engines(threads=threads)).image_generator
    assert generator is not None
    pieces = generator.pieces(count)
    assert (pieces.rows, pieces.ahead) == (rows, ahead)
