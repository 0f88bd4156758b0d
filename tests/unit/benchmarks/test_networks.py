from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from benchmarks.serving.networks import write_picture_network, write_tensor_network
from benchmarks.serving.samples import draw_digits, make_samples
from quartet.artifact import METADATA_KEY, ClassificationTask, parse_task


@pytest.fixture(scope="module")
def tensor_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tensor_network(tmp_path_factory.mktemp("repository") / "net")


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_tensor_network_gives_log_probabilities(tensor_network: Path) -> None:
    x = np.random.default_rng(0).random((3, 1, 28, 28), np.float32)
    (y,) = session(tensor_network).run(None, {"x": x})
    np.testing.assert_allclose(np.exp(y).sum(1), np.ones(3), rtol=1e-5)


def test_tensor_network_is_the_same_at_every_call(tensor_network: Path, tmp_path: Path) -> None:
    assert write_tensor_network(tmp_path).read_bytes() == tensor_network.read_bytes()


def test_picture_network_declares_its_task(tmp_path: Path) -> None:
    network = session(write_picture_network(tmp_path))
    task = parse_task(network.get_modelmeta().custom_metadata_map[METADATA_KEY])
    assert isinstance(task, ClassificationTask)
    assert (task.image.input, task.output) == ("image", "probabilities")


def test_picture_network_agrees_with_the_tensor_network(
    tensor_network: Path, tmp_path: Path
) -> None:
    pictures = draw_digits(4)
    (got,) = session(write_picture_network(tmp_path)).run(None, {"image": pictures})
    x = pictures[:, None].astype(np.float32) / 255
    (expected,) = session(tensor_network).run(None, {"x": x})
    np.testing.assert_allclose(np.log(got), expected, atol=1e-5)


def test_make_samples_holds_what_the_network_gives_for_each_input(tensor_network: Path) -> None:
    samples = make_samples(tensor_network)
    (together,) = session(tensor_network).run(None, {"x": samples.inputs})
    np.testing.assert_allclose(samples.outputs, together, atol=1e-5)


def test_draw_digits_leaves_a_dark_border_around_every_digit() -> None:
    pictures = draw_digits(20)
    assert pictures.max((1, 2)).min() > 200
    assert pictures[:, [0, -1]].max() == pictures[:, :, [0, -1]].max() == 0
