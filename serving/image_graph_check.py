"""A declared generator of pictures against its graphs: names, types and shapes."""

from collections.abc import Sequence

from quartet.artifact import ImageSpec
from quartet.config import ConfigError
from quartet.image_generation import ImageGenerationTask
from serving.tasks.image_generation import CRITIC_IMAGE, CRITIC_OUTPUT
from serving.types import Datatype, TensorSpec

Shape = tuple[int, ...]


def check_generator_graph(
    task: ImageGenerationTask, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> None:
    """Compare ``task`` with the graph that makes pictures.

    Raises:
        ConfigError: the text names the tensor, what it is and what was expected.
    """
    wanted = {task.latent: (Datatype.FP32, (-1, task.latent_size)), **_condition(task)}
    _check("generator graph", "input", inputs, wanted)
    _check("generator graph", "output", outputs, {task.output: (Datatype.UINT8, _picture(task))})


def check_critic_graph(
    task: ImageGenerationTask, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> None:
    """Compare ``task`` with the discriminator. Raises as ``check_generator_graph``."""
    wanted = {CRITIC_IMAGE: (Datatype.UINT8, _picture(task)), **_condition(task)}
    _check("critic graph", "input", inputs, wanted)
    _check("critic graph", "output", outputs, {CRITIC_OUTPUT: (Datatype.FP32, (-1,))})


def critic_image(task: ImageGenerationTask) -> ImageSpec:
    """How an encoded picture becomes the critic's input.

    Cut to the shape of the generator's pictures, since stretched faces are not real ones.
    """
    return ImageSpec(
        input=CRITIC_IMAGE,
        layout="HWC",
        height=task.height,
        width=task.width,
        mode=task.mode,
        fit="crop",
    )


def _picture(task: ImageGenerationTask) -> Shape:
    return -1, task.height, task.width, task.channels


def _condition(task: ImageGenerationTask) -> dict[str, tuple[Datatype, Shape]]:
    shapes: dict[str, Shape] = {"class": (-1,), "prompt": (-1, task.prompt_length)}
    if task.condition == "none":
        return {}
    return {task.condition_input: (Datatype.INT64, shapes[task.condition])}


def _check(
    graph: str,
    kind: str,
    found: Sequence[TensorSpec],
    wanted: dict[str, tuple[Datatype, Shape]],
) -> None:
    """Every tensor that is wanted must be there; an input that is not wanted must be optional."""
    specs = {spec.name: spec for spec in found}
    for name, (datatype, shape) in wanted.items():
        if name not in specs:
            raise ConfigError(f"{graph}: {kind} {name!r} is missing; it has {sorted(specs)}")
        spec = specs[name]
        if spec.datatype is not datatype or not _fits(spec.shape, shape):
            raise ConfigError(
                f"{graph}: {kind} {name!r} is {spec.datatype.wire} {list(spec.shape)}, but what is "
                f"declared makes {datatype.wire} {list(shape)}"
            )
    others = [s.name for s in found if s.name not in wanted and not s.optional]
    if kind == "input" and others:
        raise ConfigError(f"{graph}: it also needs {others}, which nothing declared gives")


def _fits(shape: Shape, wanted: Shape) -> bool:
    """The first axis must be free; others may be."""
    return (
        len(shape) == len(wanted)
        and shape[0] == -1
        and all(size in (-1, want) for size, want in zip(shape[1:], wanted[1:], strict=True))
    )
