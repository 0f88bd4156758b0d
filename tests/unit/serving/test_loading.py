"""What one version's folder, configuration and graph make together."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from quartet.artifact import METADATA_KEY, Golden, save_golden
from quartet.config import ConfigError
from serving.loaded_model import Engines, LoadedModel
from serving.loading import load_version
from serving.pbtxt import read_config
from tests.e2e.graphs import brightness, fixed, look_up, plus, write_model
from tests.serving_parts import make_engines


def load(
    root: Path,
    model: onnx.ModelProto,
    config: str = "max_batch_size: 8\ndynamic_batching { }",
    engines: Engines | None = None,
) -> LoadedModel:
    folder = root / "m"
    if not folder.exists():
        write_model(root, "m", model, config=config)
    (folder / "config.pbtxt").write_text(config)
    return load_version(
        "m", 1, folder, read_config(folder / "config.pbtxt"), engines or make_engines()
    )


def write_golden(root: Path, expected: float, model: onnx.ModelProto | None = None) -> None:
    folder = write_model(root, "m", model or plus(1))
    golden = Golden(
        inputs={"x": np.zeros((11, 2), np.float32)},
        outputs={"y": np.full((11, 2), expected, np.float32)},
        source="a test",
    )
    save_golden(folder / "golden.npz", golden)


def test_load_version_proves_the_model_on_its_golden_inputs(tmp_path: Path) -> None:
    write_golden(tmp_path, 1.0)
    model = load(tmp_path, plus(1))
    assert model.properties["golden_check"] == "passed, largest difference 0"


def test_load_version_says_how_far_off_the_golden_outputs_are(tmp_path: Path) -> None:
    write_golden(tmp_path, 1.5)
    with pytest.raises(ConfigError, match=r"'y' differs by up to 0\.5 from what a test computed"):
        load(tmp_path, plus(1))


def test_load_version_names_a_golden_file_that_is_damaged(tmp_path: Path) -> None:
    write_golden(tmp_path, 1.0)
    (tmp_path / "m" / "1" / "golden.npz").write_bytes(b"PK damaged")
    with pytest.raises(ConfigError, match=r"golden\.npz is not a golden file"):
        load(tmp_path, plus(1))


def test_load_version_says_that_there_is_no_golden_file(tmp_path: Path) -> None:
    assert load(tmp_path, plus(1)).properties["golden_check"] == "no golden file"


def test_load_version_does_not_batch_where_the_graph_cannot(tmp_path: Path) -> None:
    model = load(tmp_path, fixed(), config="")
    assert model.config.max_batch_size == 0
    assert not model.config.rules.join


def test_load_version_names_the_tensor_when_the_config_batches_a_fixed_graph(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError, match=r"first axis of input 'x' .*\[2, 2\] is not free"):
        load(tmp_path, fixed())


def test_load_version_finds_the_file_that_the_config_names(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "m", plus(1))
    (folder / "model.onnx").rename(folder / "other.onnx")
    assert load(tmp_path, plus(1), 'default_model_filename: "other.onnx"').version == 1


def test_load_version_finds_a_model_with_external_weights_in_a_folder(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "m", plus(1))
    (folder / "model.onnx").rename(folder / "file")
    (folder / "model.onnx").mkdir()
    (folder / "file").rename(folder / "model.onnx" / "model.onnx")
    assert load(tmp_path, plus(1)).version == 1


@pytest.mark.parametrize(
    ("config", "threads", "expected"),
    [
        ("", 4, ("4", "1")),
        ("instance_group [ { count: 2 } ]", 4, ("2", "2")),
        ("instance_group [ { count: 1 }, { count: 1 } ]", 4, ("2", "2")),
        ("instance_group [ { count: 99 } ]", 4, ("4", "1")),
        (
            'parameters { key: "intra_op_thread_count" value { string_value: "2" } }',
            4,
            ("2", "2"),
        ),
        (
            'parameters { key: "intra_op_thread_count" value { string_value: "0" } }',
            4,
            ("4", "1"),
        ),
        ("dynamic_batching { preserve_ordering: true }", 4, ("1", "1")),
    ],
)
def test_load_version_plans_instances_and_threads(
    tmp_path: Path, config: str, threads: int, expected: tuple[str, str]
) -> None:
    model = load(tmp_path, plus(1), config, make_engines(threads=threads))
    assert (model.properties["instances"], model.properties["intra_op_threads"]) == expected


@pytest.mark.parametrize("value", ["-1", "many", "1.5"])
def test_load_version_names_a_thread_count_that_is_none(tmp_path: Path, value: str) -> None:
    config = f'parameters {{ key: "intra_op_thread_count" value {{ string_value: "{value}" }} }}'
    with pytest.raises(ConfigError, match=f"whole number >= 0, got {value!r}"):
        load(tmp_path, plus(1), config)


def test_load_version_takes_the_models_own_declaration_of_its_task(tmp_path: Path) -> None:
    model = load(tmp_path, brightness(), config="")
    assert model.classifier is not None
    assert model.classifier.labels == ("dark", "light")


def test_load_version_has_no_classifier_where_none_is_declared(tmp_path: Path) -> None:
    assert load(tmp_path, plus(1)).classifier is None


def test_load_version_prefers_the_label_file_where_the_declaration_has_none(
    tmp_path: Path,
) -> None:
    graph = brightness()
    for entry in graph.metadata_props:
        entry.value = entry.value.replace('"labels":["dark","light"]', '"labels":[]')
    write_model(tmp_path, "m", graph)
    (tmp_path / "m" / "labels.txt").write_text("night\nday\n")
    model = load(
        tmp_path,
        graph,
        'output [ { name: "probabilities" data_type: TYPE_FP32 dims: [ 2 ] '
        'label_filename: "labels.txt" } ]',
    )
    assert model.classifier is not None
    assert model.classifier.labels == ("night", "day")


def test_load_version_leaves_no_trace_in_the_metrics_when_it_fails(tmp_path: Path) -> None:
    graph = brightness()
    for entry in graph.metadata_props:
        if entry.key == METADATA_KEY:
            entry.value = "{}"
    engines = make_engines()
    with pytest.raises(ConfigError, match="task must be 'image_classification'"):
        load(tmp_path, graph, config="", engines=engines)
    assert b'model="m"' not in engines.metrics.render()


def test_load_version_runs_the_warm_up(tmp_path: Path) -> None:
    config = """
    max_batch_size: 8
    model_warmup [ { name: "w" batch_size: 2 inputs { key: "index" value {
      data_type: TYPE_INT64 dims: [ 1 ] input_data_file: "index" } } } ]
    """
    write_model(tmp_path, "m", look_up())
    (tmp_path / "m" / "warmup").mkdir()
    file = tmp_path / "m" / "warmup" / "index"
    file.write_bytes(np.array([0, 2], "<i8").tobytes())
    assert load(tmp_path, look_up(), config).version == 1
    file.write_bytes(np.array([0, 9], "<i8").tobytes())
    with pytest.raises(ConfigError, match="model_warmup 'w' failed: ONNX Runtime"):
        load(tmp_path, look_up(), config)
