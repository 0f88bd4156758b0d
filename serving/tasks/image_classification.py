"""Image classification: pictures to the input tensor, scores to labelled predictions.

Plain functions of their arguments: safe to call from several threads at once.
"""

from collections.abc import Sequence

import numpy as np

from quartet.artifact import METADATA_KEY, ClassificationTask, ImageSpec, dump_task
from quartet.config import ConfigError
from serving.errors import InferenceFailed
from serving.images import ImageLimits
from serving.tasks.picture_input import PictureInput
from serving.types import Array, Datatype, Prediction, Tensor, TensorSpec

_SCORE_TYPES = (Datatype.FP16, Datatype.FP32, Datatype.FP64)
_PROBABILITY_NAMES = ("probabilities", "probability", "probs", "softmax")
_LOGIT_NAMES = ("logits", "logit")


class ImageClassifier:
    """One model version's declaration, checked against its graph, and its two conversions."""

    def __init__(
        self,
        task: ClassificationTask,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        labels: Sequence[str] = (),
    ) -> None:
        """Check the declaration against the graph.

        Args:
            task: the declaration.
            inputs: all inputs of the graph.
            outputs: all outputs of the graph.
            labels: class names of ``labels.txt``, which win over the declaration's; empty if none.

        Raises:
            ConfigError: the declaration contradicts the graph; the text names the field.
        """
        self.task = task
        self._pictures = PictureInput(task.image, inputs)
        self.datatype = self._pictures.datatype
        classes = _check_output(task, outputs)
        self.labels = tuple(labels) or task.labels
        if self.labels and classes != -1 and len(self.labels) != classes:
            source = "labels.txt" if labels else "labels"
            raise ConfigError(
                f"{source}: {len(self.labels)} labels for output {task.output!r} "
                f"of {classes} classes, expected one a class"
            )

    @property
    def input_name(self) -> str:
        """The graph input that ``preprocess`` fills."""
        return self.task.image.input

    @property
    def output_name(self) -> str:
        """The graph output that ``postprocess`` reads."""
        return self.task.output

    def preprocess(self, images: Sequence[bytes], limits: ImageLimits) -> Tensor:
        """See ``PictureInput.preprocess``."""
        return self._pictures.preprocess(images, limits)

    def postprocess(self, scores: Array, top_k: int) -> tuple[tuple[Prediction, ...], ...]:
        """Turn scores into the ``top_k`` best classes of each row.

        Args:
            scores: [rows, classes], probabilities or, if so declared, logits.
            top_k: predictions of each row, >= 1; more than the classes means all.

        Returns:
            For each row, best first; equal probabilities by ascending class index.

        Raises:
            InferenceFailed: a score is not finite, or the shape is not [rows, classes].
        """
        if scores.ndim != 2:
            raise InferenceFailed(
                f"output {self.output_name!r} has shape {list(scores.shape)}, "
                "expected [rows, classes]"
            )
        if not np.isfinite(scores).all():
            raise InferenceFailed(f"output {self.output_name!r} holds values that are not finite")
        probabilities = scores.astype(np.float64)
        if self.task.activation == "softmax":
            probabilities = _softmax(probabilities)
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
        values = np.take_along_axis(probabilities, best, axis=1)
        return tuple(
            tuple(
                Prediction(self._label(index), index, value)
                for index, value in zip(indices, row, strict=True)
            )
            for indices, row in zip(best.tolist(), values.tolist(), strict=True)
        )

    def _label(self, index: int) -> str:
        return self.labels[index] if index < len(self.labels) else str(index)


def infer_task(
    inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> ClassificationTask | None:
    """Make out the declaration of a graph that has none, where nothing has to be guessed.

    That is: one uint8 input of fixed size, whose axes tell the layout and which takes pixels as
    they are; and one output [batch, classes] whose name says whether it holds probabilities or
    logits. A float input is not enough: its range and normalisation are in no graph. Pictures are
    stretched and channels are RGB, the convention.

    Returns:
        The declaration, or None.
    """
    if len(inputs) != 1 or len(outputs) != 1 or inputs[0].datatype is not Datatype.UINT8:
        return None
    spec = _image_spec(inputs[0])
    output = outputs[0]
    scores = len(output.shape) == 2 and output.datatype in _SCORE_TYPES
    if spec is None or not scores:
        return None
    if output.name.lower() in _PROBABILITY_NAMES:
        return ClassificationTask(image=spec, output=output.name)
    if output.name.lower() in _LOGIT_NAMES:
        return ClassificationTask(image=spec, output=output.name, activation="softmax")
    return None


def missing_declaration(
    model_name: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> str:
    """Tell a client why ``model_name`` cannot classify pictures and what would make it."""
    example = ClassificationTask(
        image=ImageSpec(input=inputs[0].name if inputs else "image", height=224, width=224),
        output=outputs[0].name if outputs else "probabilities",
    )
    return (
        f"model {model_name!r} does not declare how a picture becomes its input "
        f"({_describe(inputs)} -> {_describe(outputs)}): store the declaration in the ONNX file's "
        f"metadata_props, or in config.pbtxt's parameters, under the key {METADATA_KEY!r}, with "
        f"its own size, layout and scale, like "
        f"{dump_task(example)}; or send tensors to "
        f"/v2/models/{model_name}/infer"
    )


def _describe(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{spec.name} {spec.datatype.wire} {list(spec.shape)}" for spec in specs)


def _check_output(task: ClassificationTask, outputs: Sequence[TensorSpec]) -> int:
    """Compare ``task.output`` with the graph's outputs; the number of classes, -1 if free."""
    names = [spec.name for spec in outputs]
    if task.output not in names:
        raise ConfigError(f"output: the graph has no output {task.output!r}, it has {names}")
    spec = outputs[names.index(task.output)]
    if spec.datatype not in _SCORE_TYPES or len(spec.shape) != 2:
        raise ConfigError(
            f"output: {spec.name!r} is {spec.datatype.wire} {list(spec.shape)}, expected floats "
            "[batch, classes]"
        )
    return spec.shape[1]


def _image_spec(spec: TensorSpec) -> ImageSpec | None:
    """Layout, size and mode that the axes of ``spec`` tell, if they do."""
    shape = spec.shape[1:]
    if -1 in shape:
        return None
    if len(shape) == 2:
        return ImageSpec(input=spec.name, layout="HW", height=shape[0], width=shape[1])
    if len(shape) != 3:
        return None
    first, last = shape[0] in (1, 3), shape[2] in (1, 3)
    if first == last:
        return None
    height, width = shape[1:] if first else shape[:2]
    channels = shape[0] if first else shape[2]
    return ImageSpec(
        input=spec.name,
        layout="CHW" if first else "HWC",
        height=height,
        width=width,
        mode="L" if channels == 1 else "RGB",
    )


def _softmax(logits: Array) -> Array:
    """Softmax over the last axis, shifted by the row's maximum so that nothing overflows."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))
