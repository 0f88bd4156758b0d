"""Scorers: served models with their features laid open."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from quartet.config import ConfigError
from tests.dcgan_runs import FEATURES, write_digit_scorer
from training.dcgan.digit_form import slant, weight
from training.dcgan.pictures import LabelledPictures, PictureSet
from training.dcgan.scorer import DigitScorer, FaceScorer, add_features_output, open_scorer

BORDERS = {"weight": (1.0, 2.0), "slant": (-0.1, 0.1)}


def pictures(side: int = 28) -> torch.Tensor:
    images = torch.zeros(230, 1, side, side, dtype=torch.uint8)  # more than two batches
    margin = (side - 28) // 2
    drawn = np.random.default_rng(0).integers(0, 256, (230, 28, 28), dtype=np.uint8)
    images[:, 0, margin : margin + 28, margin : margin + 28] = torch.from_numpy(drawn)
    return images


def test_features_are_what_the_last_layer_reads(tmp_path: Path) -> None:
    file = write_digit_scorer(tmp_path)
    scores = DigitScorer(tmp_path / "mnist", BORDERS).score(pictures())
    weights = {t.name: numpy_helper.to_array(t) for t in onnx.load(file).graph.initializer}
    logits = scores.features @ weights["w2"] + weights["b2"]
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert scores.features.shape == (230, FEATURES)
    assert scores.probabilities == pytest.approx(expected, abs=1e-5)  # float32 graph
    assert scores.attributes[:, 0].tolist() == expected.argmax(1).tolist()


def test_a_margin_is_cut_off_and_the_form_is_of_the_pixels(tmp_path: Path) -> None:
    write_digit_scorer(tmp_path)
    scorer = DigitScorer(tmp_path / "mnist", BORDERS)
    plain, framed = scorer.score(pictures()), scorer.score(pictures(32))
    assert np.array_equal(plain.features, framed.features)
    images = pictures()[:, 0]
    assert plain.values["weight"] == pytest.approx(weight(images).double().numpy())
    assert plain.values["slant"] == pytest.approx(slant(images).double().numpy())


def test_the_hash_is_that_of_the_published_file(tmp_path: Path) -> None:
    file = write_digit_scorer(tmp_path)
    scorer = DigitScorer(tmp_path / "mnist", BORDERS)
    expected = hashlib.sha256(file.read_bytes()).hexdigest()
    assert scorer.identity == {"model": "mnist", "sha256": expected}


def test_a_missing_scorer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mnist/1/model.onnx: no such scorer; export mnist"):
        DigitScorer(tmp_path / "mnist", BORDERS)


def test_pictures_of_an_unknown_kind_have_no_scorer(tmp_path: Path) -> None:
    none = torch.empty(0)
    split = LabelledPictures(none, none, none)
    assert open_scorer("holiday.zip", PictureSet(split, split, split), tmp_path) is None


def test_a_graph_without_a_linear_layer_is_refused(tmp_path: Path) -> None:
    model = onnx.load(write_digit_scorer(tmp_path))
    node = model.graph.node[-1]
    node.CopyFrom(helper.make_node("Sigmoid", ["hidden"], ["probabilities"]))
    with pytest.raises(ConfigError, match="'probabilities' comes from no linear layer"):
        add_features_output(model, "probabilities")


def write_face_scorer(repository: Path) -> None:
    """Red says female, green how old, and the mean of each channel is a feature."""
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=onnx.TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["features"], keepdims=0),
        helper.make_node("Gather", ["features", "zero"], ["red"], axis=1),
        helper.make_node("Div", ["red", "full"], ["female"]),
        helper.make_node("Gather", ["features", "one"], ["age"], axis=1),
    ]
    values = {
        "axes": np.array([1, 2]),
        "zero": np.array(0),
        "one": np.array(1),
        "full": np.array(255, np.float32),
    }
    outputs: dict[str, list[str | int]] = {"female": ["b"], "age": ["b"], "features": ["b", 3]}
    graph = helper.make_graph(
        nodes,
        "faces",
        [helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["b", 64, 64, 3])],
        [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
            for name, shape in outputs.items()
        ],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    file = repository / "face-attributes" / "1" / "model.onnx"
    file.parent.mkdir(parents=True)
    onnx.save(model, file)


def test_faces_have_gender_and_age_group_and_log_odds(tmp_path: Path) -> None:
    write_face_scorer(tmp_path)
    images = torch.zeros(3, 3, 64, 64, dtype=torch.uint8)
    images[:, 0] = torch.tensor([0, 51, 204])[:, None, None]
    images[:, 1] = torch.tensor([2, 35, 90])[:, None, None]
    scores = FaceScorer(tmp_path / "face-attributes").score(images)
    assert scores.attributes.tolist() == [[0, 0], [0, 4], [1, 5]]
    assert scores.values["age"].tolist() == [2, 35, 90]
    # 0 is held off by the bound of a millionth; the others are float32 quotients.
    expected = [np.log(1e-6 / (1 - 1e-6)), np.log(0.2 / 0.8), np.log(0.8 / 0.2)]
    assert scores.values["female"] == pytest.approx(expected, abs=1e-5)
