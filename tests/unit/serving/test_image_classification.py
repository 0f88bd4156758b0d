import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from quartet.artifact import ClassificationTask, parse_task
from quartet.config import ConfigError
from serving.errors import InferenceFailed, InvalidInput, PayloadTooLarge
from serving.images import ImageLimits
from serving.tasks.image_classification import ImageClassifier, infer_task, missing_declaration
from serving.types import Datatype, TensorSpec

LIMITS = ImageLimits()
DIGIT_INPUT = TensorSpec("image", Datatype.UINT8, (-1, 28, 28))
DIGIT_OUTPUT = TensorSpec("probabilities", Datatype.FP32, (-1, 10))
COLOUR_INPUT = TensorSpec("image", Datatype.FP32, (-1, 3, 32, 48))


def digit_task(**changes: Any) -> ClassificationTask:
    image = {"height": 28, "width": 28, "fit": "digit", **changes.pop("image", {})}
    return ClassificationTask.model_validate({"image": image, **changes})


def colour_task(**image: Any) -> ClassificationTask:
    fields = {"layout": "CHW", "mode": "RGB", "height": 32, "width": 48, **image}
    return ClassificationTask.model_validate({"image": fields})


def classifier(**changes: Any) -> ImageClassifier:
    return ImageClassifier(digit_task(**changes), [DIGIT_INPUT], [DIGIT_OUTPUT])


def png(level: int, size: tuple[int, int] = (40, 30)) -> bytes:
    stream = io.BytesIO()
    Image.new("L", size, level).save(stream, "PNG")
    return stream.getvalue()


def test_preprocess_stacks_pictures_batch_first() -> None:
    task = colour_task(scale=1 / 255)
    model = ImageClassifier(task, [COLOUR_INPUT], [DIGIT_OUTPUT])
    tensor = model.preprocess([png(0), png(255), png(51)], LIMITS)
    assert tensor.datatype is Datatype.FP32
    assert tensor.shape == (3, 3, 32, 48)
    np.testing.assert_allclose(tensor.data[:, 0, 0, 0], [0.0, 1.0, 0.2], rtol=1e-6)


def test_preprocess_gives_uint8_to_a_uint8_input() -> None:
    tensor = classifier().preprocess([png(255)], LIMITS)
    assert (tensor.datatype, str(tensor.data.dtype)) == (Datatype.UINT8, "uint8")
    assert tensor.shape == (1, 28, 28)


def test_preprocess_says_which_of_several_pictures_is_at_fault() -> None:
    with pytest.raises(InvalidInput, match="image 2 of 3: not an image"):
        classifier().preprocess([png(0), b"seven", png(0)], LIMITS)


def test_preprocess_keeps_the_kind_of_fault() -> None:
    with pytest.raises(PayloadTooLarge, match="image 1 of 2"):
        classifier().preprocess([png(0), png(0)], ImageLimits(max_pixels=10))


def test_postprocess_gives_the_best_classes_first() -> None:
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]], np.float32)
    rows = classifier().postprocess(scores, top_k=2)
    assert [[p.index for p in row] for row in rows] == [[1, 2], [0, 2]]
    assert rows[0][0].probability == pytest.approx(0.7)


def test_postprocess_gives_all_classes_when_top_k_is_more() -> None:
    (row,) = classifier().postprocess(np.eye(1, 3), top_k=100)
    assert len(row) == 3


def test_postprocess_resolves_ties_by_index() -> None:
    (row,) = classifier().postprocess(np.full((1, 20), 0.05, np.float32), top_k=3)
    assert [p.index for p in row] == [0, 1, 2]


def test_postprocess_normalises_logits_without_overflow() -> None:
    scores = np.array([[1000.0, 1000.0 + np.log(3.0), -1000.0]])
    (row,) = classifier(activation="softmax").postprocess(scores, top_k=3)
    assert [p.probability for p in row] == pytest.approx([0.75, 0.25, 0.0])


def test_postprocess_gives_python_numbers() -> None:
    (row,) = classifier().postprocess(np.eye(1, 3, dtype=np.float16), top_k=1)
    assert (type(row[0].index), type(row[0].probability)) == (int, float)


def test_postprocess_names_classes_by_label_or_index() -> None:
    labels = tuple("abcdefghij")
    (named,) = classifier(labels=labels).postprocess(np.eye(1, 10, 2), top_k=1)
    (numbered,) = classifier().postprocess(np.eye(1, 10, 2), top_k=1)
    assert (named[0].label, numbered[0].label) == ("c", "2")


def test_postprocess_prefers_labels_txt_over_the_declaration() -> None:
    task = digit_task(labels=tuple("abcdefghij"))
    model = ImageClassifier(task, [DIGIT_INPUT], [DIGIT_OUTPUT], list("ABCDEFGHIJ"))
    assert model.postprocess(np.eye(1, 10), top_k=1)[0][0].label == "A"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_postprocess_refuses_scores_that_are_not_finite(value: float) -> None:
    with pytest.raises(InferenceFailed, match="not finite"):
        classifier().postprocess(np.array([[0.0, value]]), top_k=1)


def test_postprocess_refuses_another_shape() -> None:
    with pytest.raises(InferenceFailed, match=r"expected \[rows, classes\]"):
        classifier().postprocess(np.zeros((1, 2, 3)), top_k=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": {"input": "x"}}, r"image\.input: the graph has no input 'x'.*'image'"),
        ({"image": {"height": 32, "fit": "stretch"}}, r"height 32 .*shape \[-1, 28, 28\]"),
        ({"image": {"layout": "CHW"}}, "layout CHW"),
        ({"image": {"mode": "RGB"}}, r"image\.layout: HW has no channel axis"),
        ({"image": {"scale": 0.5}}, "scale, mean and std are for float inputs"),
        ({"image": {"mean": (1.0, 2.0)}}, r"image\.mean: 2 values, expected 1"),
        ({"image": {"std": (0.0,)}}, r"image\.std: .*> 0"),
        ({"image": {"height": 32}}, r"image\.fit: digit makes mode L of 28 x 28"),
        ({"output": "scores"}, r"output: the graph has no output 'scores'"),
        ({"labels": ("a", "b")}, "labels: 2 labels .* of 10 classes"),
    ],
)
def test_classifier_refuses_a_declaration_that_contradicts_the_graph(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        classifier(**changes)


def test_classifier_refuses_an_input_that_takes_no_pixels() -> None:
    spec = TensorSpec("image", Datatype.INT64, (-1, 28, 28))
    with pytest.raises(ConfigError, match="INT64, expected UINT8 or"):
        ImageClassifier(digit_task(), [spec], [DIGIT_OUTPUT])


def test_classifier_refuses_a_graph_that_needs_another_input() -> None:
    other = TensorSpec("age", Datatype.FP32, (-1, 1))
    with pytest.raises(ConfigError, match=r"also needs \['age'\]"):
        ImageClassifier(digit_task(), [DIGIT_INPUT, other], [DIGIT_OUTPUT])


@pytest.mark.parametrize("shape", [(-1, 10, 1), (10,)])
def test_classifier_refuses_an_output_that_is_no_table_of_scores(shape: tuple[int, ...]) -> None:
    spec = TensorSpec("probabilities", Datatype.FP32, shape)
    with pytest.raises(ConfigError, match=r"expected floats \[batch, classes\]"):
        ImageClassifier(digit_task(), [DIGIT_INPUT], [spec])


def test_classifier_takes_free_axes_and_any_number_of_classes() -> None:
    image = TensorSpec("image", Datatype.FP16, (-1, 3, -1, -1))
    scores = TensorSpec("probabilities", Datatype.FP16, (-1, -1))
    model = ImageClassifier(colour_task(), [image], [scores], ["a", "b"])
    assert (model.input_name, model.output_name) == ("image", "probabilities")


@pytest.mark.parametrize(
    ("shape", "layout", "mode"),
    [
        ((-1, 28, 20), "HW", "L"),
        ((-1, 28, 20, 1), "HWC", "L"),
        ((-1, 28, 20, 3), "HWC", "RGB"),
        ((-1, 3, 28, 20), "CHW", "RGB"),
    ],
)
def test_infer_task_reads_the_layout_of_a_uint8_input(
    shape: tuple[int, ...], layout: str, mode: str
) -> None:
    task = infer_task([TensorSpec("pixels", Datatype.UINT8, shape)], [DIGIT_OUTPUT])
    assert task is not None
    image = task.image
    assert (image.input, image.layout, image.mode) == ("pixels", layout, mode)
    assert (image.height, image.width, image.fit) == (28, 20, "stretch")


@pytest.mark.parametrize(
    ("name", "activation"), [("probabilities", "none"), ("Softmax", "none"), ("logits", "softmax")]
)
def test_infer_task_reads_the_activation_from_the_outputs_name(name: str, activation: str) -> None:
    task = infer_task([DIGIT_INPUT], [TensorSpec(name, Datatype.FP32, (-1, 10))])
    assert task is not None
    assert (task.output, task.activation) == (name, activation)


@pytest.mark.parametrize(
    ("image", "scores"),
    [
        (COLOUR_INPUT, DIGIT_OUTPUT),
        (TensorSpec("image", Datatype.UINT8, (-1, 3, -1, -1)), DIGIT_OUTPUT),
        (TensorSpec("image", Datatype.UINT8, (-1, 3, 9, 3)), DIGIT_OUTPUT),
        (TensorSpec("image", Datatype.UINT8, (-1, 5, 9, 9)), DIGIT_OUTPUT),
        (TensorSpec("image", Datatype.UINT8, (-1, 784)), DIGIT_OUTPUT),
        (DIGIT_INPUT, TensorSpec("output", Datatype.FP32, (-1, 10))),
        (DIGIT_INPUT, TensorSpec("logits", Datatype.FP32, (-1, 10, 10))),
        (DIGIT_INPUT, TensorSpec("logits", Datatype.INT64, (-1, 10))),
    ],
)
def test_infer_task_does_not_guess(image: TensorSpec, scores: TensorSpec) -> None:
    assert infer_task([image], [scores]) is None


def test_missing_declaration_shows_one_that_parses() -> None:
    text = missing_declaration("cats", [COLOUR_INPUT], [DIGIT_OUTPUT])
    assert "'quartet.task'" in text
    assert "image FP32 [-1, 3, 32, 48]" in text
    example = text[text.index("like ") + 5 : text.index("; or send")]
    task = parse_task(example)
    assert isinstance(task, ClassificationTask)
    assert task.output == "probabilities"
