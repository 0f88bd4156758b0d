"""Tensors through a model that takes and gives tensors."""

from collections.abc import Mapping

import numpy as np

from serving.accounting import Entry
from serving.loaded_model import LoadedModel
from serving.types import Array, Datatype, InferRequest, InferResponse, Tensor


async def infer_tensors(model: LoadedModel, request: InferRequest, entry: Entry) -> InferResponse:
    """Check ``request``, run it with whatever else waits, and tell ``entry`` its times.

    Raises:
        ServingError: the request is wrong, or what the scheduler raises.
    """
    checker, scheduler = model.tensors()
    finished = await scheduler.submit(checker.check(request))
    entry.timings = finished.timings
    return InferResponse(
        model_name=model.name,
        model_version=str(model.version),
        outputs=_wire_outputs(model, finished.outputs),
        id=request.id,
        timings=finished.timings,
    )


def _wire_outputs(model: LoadedModel, outputs: Mapping[str, Array]) -> dict[str, Tensor]:
    """The engine's arrays as tensors of the declared types; text becomes UTF-8 bytes."""
    datatypes = {spec.name: spec.datatype for spec in model.config.outputs}
    return {name: _wire_tensor(datatypes[name], array) for name, array in outputs.items()}


def _wire_tensor(datatype: Datatype, array: Array) -> Tensor:
    if datatype is not Datatype.BYTES:
        return Tensor(datatype, array)
    encoded = np.empty(array.size, np.object_)
    encoded[:] = [str(element).encode() for element in array.ravel()]
    return Tensor(datatype, encoded.reshape(array.shape))
