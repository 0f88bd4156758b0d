"""Generators of pictures with random weights: small, quick, and no two pictures alike.

Noise passes through one 1x1 convolution, which computes each row by itself; what is said of a
picture is added to the noise before. The critic is a convolution as large as the picture.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper

from quartet.artifact import (
    CRITIC_FILE,
    CRITIC_GOLDEN_FILE,
    GOLDEN_FILE,
    METADATA_KEY,
    MODEL_FILE,
    Golden,
    dump_task,
    save_golden,
)
from quartet.image_generation import Direction, ImageGenerationTask
from quartet.latents import latents
from training.export.files import write_graphs
from training.export.format import IR_VERSION, OPSET
from training.graphs.builder import FLOAT, INT64, UINT8, GraphBuilder, Value

LATENT = 8
"""Numbers of noise."""
SIDE = 6
"""Of a picture, pixels."""
CLASSES = ("zero", "one", "two")
WORDS = ("", "a", "red", "blue", "cat", "dog")
PROMPT_LENGTH = 4
DEFAULT_PROMPT = "a cat"
CONDITION_INPUTS = {"class": "label", "prompt": "words"}
"""Condition -> name of the graphs' input."""
CRITIC_IMAGE, CRITIC_OUTPUT = "image", "probability"
GOLDEN_ROWS = 5
BATCH = "batch"

Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, kw_only=True)
class ImageModel:
    """What a generator of pictures for a test is like."""

    condition: str = "none"
    """``none``, ``class`` or ``prompt``."""
    mode: str = "RGB"
    critic: bool = True
    seed: int = 0
    """Of the weights."""
    batch_dependent: bool = False
    """Rows of a batch differ from rows alone by a level or so, which no generator's may."""
    declaration: Mapping[str, Any] | None = None
    """Fields of ``ImageGenerationTask`` other than those that follow from the rest."""

    @property
    def channels(self) -> int:
        """Of a picture."""
        return 3 if self.mode == "RGB" else 1


def make_image_model(
    folder: Path, *, version: int = 1, goldens: bool = True, config: str = "", **facts: Any
) -> Path:
    """Write ``<folder>/<version>`` with a generator, its critic and their golden files.

    Args:
        folder: the model's folder in a repository; made if need be. Its name is the model's.
        version: number of the version's folder.
        goldens: also write the golden files.
        config: text of ``config.pbtxt``; empty for none.
        facts: fields of ``ImageModel``.

    Returns:
        ``<folder>/<version>``.
    """
    model = ImageModel(**facts)
    target = folder / str(version)
    target.mkdir(parents=True)
    graph = generator_graph(model)
    helper.set_model_props(graph, {METADATA_KEY: dump_task(image_task(model))})
    write_graphs(target, {MODEL_FILE: graph})
    if model.critic:
        write_graphs(target, {CRITIC_FILE: critic_graph(model)})
    if config:
        (folder / "config.pbtxt").write_text(config, encoding="utf-8")
    if goldens:
        _write_goldens(target, model)
    return target


def image_task(model: ImageModel) -> ImageGenerationTask:
    """What the model says of itself."""
    said: dict[str, dict[str, Any]] = {
        "none": {},
        "class": {"classes": CLASSES, "condition_input": CONDITION_INPUTS["class"]},
        "prompt": {
            "vocabulary": WORDS,
            "prompt_length": PROMPT_LENGTH,
            "default_prompt": DEFAULT_PROMPT,
            "example_prompts": ("a red cat", "a blue dog"),
            "condition_input": CONDITION_INPUTS["prompt"],
        },
    }
    fields = {
        "latent_size": LATENT,
        "height": SIDE,
        "width": SIDE,
        "mode": model.mode,
        "condition": model.condition,
        "directions": (
            Direction(name="older", opposite="younger", vector=unit(0), step=2.0),
            Direction(name="redder", vector=unit(1), step=1.5),
        ),
        **said[model.condition],
        **(model.declaration or {}),
    }
    return ImageGenerationTask.model_validate(fields)


def unit(axis: int) -> tuple[float, ...]:
    """The vector of length 1 along one of the axes of z."""
    return tuple(float(place == axis) for place in range(LATENT))


def generator_graph(model: ImageModel) -> onnx.ModelProto:
    """Noise, and what is said, to uint8 pictures [batch, SIDE, SIDE, channels]."""
    random = np.random.default_rng(model.seed)
    graph = GraphBuilder()
    noise = "z"
    if model.condition != "none":
        noise = graph.op("Add", noise, _said(graph, model, random, LATENT))
    pixels = model.channels * SIDE * SIDE
    columns = graph.op("Reshape", noise, graph.constant([-1, LATENT, 1, 1]))
    weights = random.standard_normal((pixels, LATENT, 1, 1)) / np.sqrt(LATENT)
    flat = graph.op("Conv", columns, graph.weight("paint", weights.astype(np.float32)))
    levels = graph.op("Mul", graph.op("Tanh", flat), graph.floats(127.5))
    levels = graph.op("Add", levels, graph.floats(127.5))
    if model.batch_dependent:
        levels = graph.op("Sub", levels, _company(graph))
    planes = graph.op("Reshape", levels, graph.constant([-1, model.channels, SIDE, SIDE]))
    rows = graph.op("Transpose", graph.op("Round", planes), perm=[0, 2, 3, 1])
    whole = graph.op("Clip", rows, graph.floats(0.0), graph.floats(255.0))
    graph.rename(graph.op("Cast", whole, to=UINT8), "image")
    picture = Value("image", UINT8, (BATCH, SIDE, SIDE, model.channels))
    return _finish(graph, [Value("z", FLOAT, (BATCH, LATENT)), *_condition(model)], picture)


def critic_graph(model: ImageModel) -> onnx.ModelProto:
    """Pictures, and what is said, to probabilities [batch]."""
    random = np.random.default_rng(model.seed + 1)
    graph = GraphBuilder()
    pixels = graph.op("Div", graph.op("Cast", CRITIC_IMAGE, to=FLOAT), graph.floats(127.5))
    planes = graph.op("Transpose", graph.op("Sub", pixels, graph.floats(1.0)), perm=[0, 3, 1, 2])
    weights = random.standard_normal((1, model.channels, SIDE, SIDE)) / SIDE
    score = graph.op("Conv", planes, graph.weight("look", weights.astype(np.float32)))
    flat = graph.op("Reshape", score, graph.constant([-1]))
    if model.condition != "none":
        said = _said(graph, model, random, 1)
        flat = graph.op("Add", flat, graph.op("Reshape", said, graph.constant([-1])))
    graph.rename(graph.op("Sigmoid", flat), CRITIC_OUTPUT)
    image = Value(CRITIC_IMAGE, UINT8, (BATCH, SIDE, SIDE, model.channels))
    return _finish(graph, [image, *_condition(model)], Value(CRITIC_OUTPUT, FLOAT, (BATCH,)))


def expected_pictures(
    folder: Path, z: np.ndarray[Any, Any], condition: np.ndarray[Any, Any] | None = None
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """What the generator of version ``folder`` makes, row by row, without any server."""
    session = ort.InferenceSession(folder / MODEL_FILE, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    inputs = [np.asarray(z, np.float32), *([] if condition is None else [condition])]
    rows = [
        session.run(None, {n: a[i : i + 1] for n, a in zip(names, inputs, strict=True)})[0]
        for i in range(len(z))
    ]
    return np.concatenate(rows)


def _said(graph: GraphBuilder, model: ImageModel, random: np.random.Generator, size: int) -> str:
    """float32 [batch, size] of a class, or of a prompt's words; number 0 of these is no word."""
    count = len(CLASSES) if model.condition == "class" else len(WORDS)
    table = np.asarray(random.standard_normal((count, size)), np.float32)
    if model.condition == "class":
        return graph.op("Gather", graph.weight("said", table), CONDITION_INPUTS["class"])
    table[0] = 0.0
    words = graph.op("Gather", graph.weight("said", table), CONDITION_INPUTS["prompt"])
    return graph.op("ReduceSum", words, graph.constant([1]), keepdims=0)


def _company(graph: GraphBuilder) -> str:
    """0 for a row alone, 0.7 for rows of a batch: within the goldens' tolerance, yet unequal."""
    rows = graph.op("Cast", graph.op("Shape", "z", start=0, end=1), to=FLOAT)
    others = graph.op("Min", graph.op("Sub", rows, graph.floats(1.0)), graph.floats(1.0))
    return graph.op("Mul", others, graph.floats(0.7))


def _condition(model: ImageModel) -> list[Value]:
    shapes: dict[str, tuple[int | str, ...]] = {
        "class": (BATCH,),
        "prompt": (BATCH, PROMPT_LENGTH),
    }
    if model.condition == "none":
        return []
    return [Value(CONDITION_INPUTS[model.condition], INT64, shapes[model.condition])]


def _finish(graph: GraphBuilder, inputs: list[Value], output: Value) -> onnx.ModelProto:
    built = graph.finish("images", inputs, [output])
    built.initializer.extend(graph.initializers())
    return helper.make_model(
        built, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)]
    )


def _write_goldens(folder: Path, model: ImageModel) -> None:
    rows = np.arange(GOLDEN_ROWS)
    said: dict[str, Arrays] = {
        "none": {},
        "class": {CONDITION_INPUTS["class"]: rows % len(CLASSES)},
        "prompt": {
            CONDITION_INPUTS["prompt"]: np.stack([rows % len(WORDS)] * PROMPT_LENGTH, axis=1)
        },
    }
    condition = said[model.condition]
    z = latents(np.zeros(GOLDEN_ROWS, np.uint64), rows, LATENT)
    pictures = expected_pictures(folder, z, next(iter(condition.values()), None))
    _write_golden(folder / GOLDEN_FILE, {"z": z, **condition}, {"image": pictures}, atol=1.0)
    if model.critic:
        critic = ort.InferenceSession(folder / CRITIC_FILE, providers=["CPUExecutionProvider"])
        inputs = {CRITIC_IMAGE: pictures, **condition}
        probability = np.asarray(critic.run(None, inputs)[0])
        _write_golden(folder / CRITIC_GOLDEN_FILE, inputs, {CRITIC_OUTPUT: probability}, atol=1e-5)


def _write_golden(file: Path, inputs: Arrays, outputs: Arrays, *, atol: float) -> None:
    golden = Golden(inputs=inputs, outputs=outputs, atol=atol, rtol=0.0, source="onnxruntime")
    save_golden(file, golden)
