"""Requests to runs of the engine and back: joining rows, and giving each caller its own."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from serving.errors import InferenceFailed, ServingError
from serving.scheduler import Work
from serving.types import Array


def join_key(work: Work) -> Hashable:
    """Requests join if they have the same inputs of the same row shapes and want the same."""
    return (work.outputs, *((name, array.shape[1:]) for name, array in work.inputs.items()))


def expiry(work: Work, now: float) -> float | None:
    """When a request that comes ``now`` has waited too long; None for never."""
    if work.queue_timeout_s is None:
        return work.deadline
    limit = now + work.queue_timeout_s
    return limit if work.deadline is None else min(limit, work.deadline)


def as_serving_error(error: Exception) -> ServingError:
    """What a client learns of ``error``, which the engine raised."""
    if isinstance(error, ServingError):
        return error
    failure = InferenceFailed("the engine failed; the server's log has the reason")
    failure.__cause__ = error
    return failure


def join_rows(works: Sequence[Work]) -> Mapping[str, Array]:
    """The inputs of all, one after the other along the first axis."""
    if len(works) == 1:
        return works[0].inputs
    return {name: np.concatenate([work.inputs[name] for work in works]) for name in works[0].inputs}


def split_rows(works: Sequence[Work], outputs: Sequence[Array]) -> list[Mapping[str, Array]]:
    """Each request's own rows, undoing ``join_rows``.

    Args:
        works: as joined.
        outputs: one array for each of ``works[0].outputs``.

    Raises:
        InferenceFailed: an output of several requests has not as many rows as they.
    """
    names = works[0].outputs
    if len(works) == 1:
        return [dict(zip(names, outputs, strict=True))]
    rows = sum(work.rows for work in works)
    for name, array in zip(names, outputs, strict=True):
        if array.ndim == 0 or array.shape[0] != rows:
            raise InferenceFailed(
                f"output {name!r} has shape {list(array.shape)} for a batch of {rows} rows: its "
                "first axis is no batch axis; set max_batch_size: 0 in config.pbtxt"
            )
    results: list[Mapping[str, Array]] = []
    start = 0
    for work in works:
        stop = start + work.rows
        results.append({n: a[start:stop] for n, a in zip(names, outputs, strict=True)})
        start = stop
    return results
