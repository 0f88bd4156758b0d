"""What a captioner's folder, its configuration and the server's settings make together."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quartet.artifact import ImageSpec, load_golden, save_golden
from quartet.config import ConfigError
from serving.loaded_model import Engines, LoadedModel
from serving.loading import load_version
from serving.pbtxt import read_config
from serving.settings import GenerationSettings
from serving.types import Datatype, TensorSpec
from tests.caption_models import make_caption_model
from tests.serving_parts import make_engines


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A captioner's folder with golden files, not to be changed."""
    folder = tmp_path_factory.mktemp("models") / "m"
    make_caption_model(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy to be changed."""
    return Path(shutil.copytree(made, tmp_path / "m"))


def few_slots(**settings: int) -> Engines:
    return make_engines(generation=GenerationSettings(**{"slots": 8, **settings}))


def load(folder: Path, config: str = "", engines: Engines | None = None) -> LoadedModel:
    (folder / "config.pbtxt").write_text(config)
    return load_version(
        "m", 1, folder, read_config(folder / "config.pbtxt"), engines or few_slots()
    )


def test_a_captioner_has_the_signature_of_all_captioners(folder: Path) -> None:
    model = load(folder)
    assert model.config.inputs == (TensorSpec("image", Datatype.BYTES, (-1,)),)
    assert model.config.outputs == (
        TensorSpec("caption", Datatype.BYTES, (-1,)),
        TensorSpec("log_probability", Datatype.FP32, (-1,)),
    )
    assert (model.config.max_batch_size, model.config.decoupled) == (0, False)
    assert model.task == "image_captioning"
    assert model.captioner is not None
    assert (model.checker, model.scheduler, model.classifier, model.generator) == (None,) * 4


def test_properties_tell_what_was_proved_and_what_runs(folder: Path) -> None:
    properties = load(folder, engines=few_slots(steps=3)).properties
    proved = "passed, largest difference 0"
    assert properties["golden_check"] == f"encoder: {proved}; decode: {proved}; prefill: {proved}"
    assert (properties["grid"], properties["slots"], properties["steps"]) == ("2x2", "8", "3")
    assert (properties["precision"], properties["provider"]) == ("float32", "CPUExecutionProvider")
    assert len(properties["sha256"]) == 64


def test_without_golden_files_nothing_is_proved(folder: Path) -> None:
    for file in folder.glob("1/*golden.npz"):
        file.unlink()
    properties = load(folder).properties
    none = "no golden file"
    assert properties["golden_check"] == f"encoder: {none}; decode: {none}; prefill: {none}"


def test_golden_files_are_no_part_of_the_hash(folder: Path) -> None:
    whole = load(folder).properties["sha256"]
    for file in folder.glob("1/*golden.npz"):
        file.unlink()
    assert load(folder).properties["sha256"] == whole


def test_the_graphs_are_parts_with_batches_of_their_own(folder: Path) -> None:
    model = load(
        folder, "max_batch_size: 3\ndynamic_batching { max_queue_delay_microseconds: 2000 }"
    )
    assert list(model.parts) == ["encoder", "decode", "prefill"]
    encoder, decode, prefill = model.parts.values()
    assert (encoder.name, encoder.version) == ("m.encoder", 1)
    assert (encoder.config.max_batch_size, encoder.config.rules.max_delay_s) == (3, 0.002)
    assert (decode.config.max_batch_size, decode.config.rules.max_delay_s) == (8, 0.0)
    assert prefill.config.rules.join
    assert [part.message.default_model_filename for part in model.parts.values()] == [
        "encoder.onnx",
        "model.onnx",
        "prefill.onnx",
    ]
    assert all(
        part.properties["golden_check"].startswith("passed") for part in model.parts.values()
    )
    assert not model.message.HasField("dynamic_batching")
    assert model.message.max_batch_size == 0


def test_a_configuration_may_name_the_captioners_tensors(folder: Path) -> None:
    tensors = (
        'input { name: "image" data_type: TYPE_STRING dims: [-1] } '
        'output { name: "caption" data_type: TYPE_STRING dims: [-1] }'
    )
    model = load(folder, f"max_batch_size: 4 {tensors}")
    assert [spec.name for spec in model.config.outputs] == ["caption"]
    assert model.parts["encoder"].config.max_batch_size == 4


def test_a_configuration_that_names_others_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="input 'pixels' is not in the graph"):
        load(folder, 'input { name: "pixels" data_type: TYPE_UINT8 dims: [8, 8, 3] }')


def test_a_captioner_keeps_no_sequences(folder: Path) -> None:
    with pytest.raises(ConfigError, match="sequence_batching: a captioner keeps nothing"):
        load(folder, "sequence_batching { }")


@pytest.mark.parametrize("file", ["encoder.onnx", "prefill.onnx"])
def test_a_graph_that_is_missing_is_named(folder: Path, file: str) -> None:
    (folder / "1" / file).unlink()
    with pytest.raises(ConfigError, match=f"m/1 has no file '{file}'"):
        load(folder)


@pytest.mark.parametrize(
    ("graph", "file", "output"),
    [
        ("encoder", "encoder.golden.npz", "hidden"),
        ("decode", "golden.npz", "log_probabilities"),
        ("prefill", "prefill.golden.npz", "log_probabilities"),
    ],
)
def test_a_golden_file_that_does_not_hold_is_named(
    folder: Path, graph: str, file: str, output: str
) -> None:
    golden = load_golden(folder / "1" / file)
    wrong = {**golden.outputs, output: np.asarray(golden.outputs[output], np.float32) + 1}
    save_golden(folder / "1" / file, replace(golden, outputs=wrong))
    engines = few_slots()
    with pytest.raises(ConfigError, match=f"^{graph} graph: golden check failed: .*'{output}'"):
        load(folder, engines=engines)
    assert b'model="m' not in engines.metrics.render()


def test_an_encoder_that_takes_other_pictures_is_refused(tmp_path: Path) -> None:
    image = ImageSpec(layout="HWC", height=9, width=8, mode="RGB")
    make_caption_model(tmp_path / "m", goldens=False, image=image)
    with pytest.raises(ConfigError, match=r"^encoder graph: image: .* has shape \[-1, 8, 8, 3\]"):
        load(tmp_path / "m")


def test_a_grid_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    make_caption_model(tmp_path / "m", goldens=False, grid=(3, 2))
    with pytest.raises(ConfigError, match="grid: 3 x 2 does not fit the 4 places"):
        load(tmp_path / "m")


def test_a_captioner_without_attention_has_no_grid(tmp_path: Path) -> None:
    make_caption_model(tmp_path / "m", goldens=False, attention=False)
    model = load(tmp_path / "m")
    assert model.properties["grid"] == "none"
    assert {spec.name for spec in model.parts["encoder"].config.outputs} == {"hidden", "cell"}
