"""A captioner's encoder, and its grid, against the graphs that write."""

from collections.abc import Sequence

from quartet.artifact import ImageCaptioningTask
from quartet.config import ConfigError
from quartet.generation import MINIMUM
from serving.generator_check import GeneratorLayout
from serving.types import TensorSpec


def check_captioner(
    task: ImageCaptioningTask, layout: GeneratorLayout, encoder: Sequence[TensorSpec]
) -> None:
    """Compare ``task`` with what its graphs turned out to have.

    Args:
        task: the declaration.
        layout: of decode and prefill.
        encoder: outputs of the encoder.

    Raises:
        ConfigError: the text names the graph and the tensor, or the field of the declaration.
    """
    _check_grid(task, layout.places)
    if task.stop and not layout.minimum:
        raise ConfigError(
            f"decode graph: input {MINIMUM!r} is missing; captions have a least length"
        )
    found = {spec.name: spec for spec in encoder}
    wanted = {spec.input: spec for spec in layout.row_specs}
    for name, spec in found.items():
        if name not in wanted:
            raise ConfigError(
                f"encoder graph: output {name!r} is no constant or state of the decode graph, "
                f"which has {sorted(wanted)}"
            )
        dtype, shape = wanted[name].dtype, (-1, *wanted[name].shape)
        if spec.datatype.dtype != dtype or spec.shape != shape:
            raise ConfigError(
                f"encoder graph: output {name!r} is {spec.datatype.wire} {list(spec.shape)}, but "
                f"the decode graph takes {dtype} {list(shape)}"
            )
    for constant in layout.constants:
        if constant.input not in found:
            raise ConfigError(
                f"encoder graph: output {constant.input!r} is missing; it has {sorted(found)}"
            )
    if not found:
        raise ConfigError("encoder graph: it gives no state, so all pictures would be the same")


def _check_grid(task: ImageCaptioningTask, places: int) -> None:
    if task.grid is None:
        if places:
            raise ConfigError(f"grid: missing, but the attention of the graphs has {places} places")
        return
    rows, columns = task.grid
    if min(rows, columns) < 1 or rows * columns != places:
        raise ConfigError(
            f"grid: {rows} x {columns} does not fit the {places} places of the graphs' attention"
        )
