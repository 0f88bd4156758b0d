"""Writes requests in a crowd or one after the other, and compares what their sinks have heard."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Literal

import numpy as np

from serving.continuous_batcher import ContinuousBatcher
from serving.decoder import OnnxDecoder
from serving.slots import SlotRules
from serving.token_scheduler import BeamSearch, Floats, Job
from serving.workers import WorkerPool
from tests.generation_sinks import RecordingSearch, RecordingSink


class Unobserved:
    """A ``RunObserver`` that only remembers how many rows each run had."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def run_finished(
        self, kind: Literal["prefill", "decode"], rows: int, steps: int, seconds: float
    ) -> None:
        self.rows.append(rows)


def silent_copy(job: Job) -> Job:
    """The same job with a sink that has heard nothing."""
    if isinstance(job, BeamSearch):
        assert isinstance(job.sink, RecordingSearch)
        return replace(job, sink=RecordingSearch(width=job.sink.width, steps=job.sink.steps))
    assert isinstance(job.sink, RecordingSink)
    sink = RecordingSink(limit=job.sink.limit, stop=job.sink.stop, keeps_state=job.keep_state)
    return replace(job, sink=sink)


async def write(
    engine: OnnxDecoder, rules: SlotRules, requests: Sequence[Sequence[Job]], *, together: bool
) -> Unobserved:
    """Write all ``requests``, in a crowd that grows while it writes, or one after the other."""
    observer, random = Unobserved(), Random(1)
    pool = WorkerPool(rules.lanes)
    pool.start()
    try:
        batcher = ContinuousBatcher(engine, pool, rules, observer)
        for jobs in requests:
            batcher.submit(jobs)
            if together:
                # Of a run of this model, from a tenth to several.
                for _ in range(random.choice((0, 0, 10, 200))):
                    await asyncio.sleep(0)
            else:
                await batcher.drain()
        await batcher.drain()
    finally:
        pool.stop()
    return observer


def joined(parts: Sequence[Floats | None]) -> Floats | None:
    """Scores or attention of a prompt, however it was cut into parts; None if there are none."""
    some = [part for part in parts if part is not None]
    assert len(some) in (0, len(parts))
    return np.concatenate(some) if some else None


def assert_same(job: Job, other: Job) -> None:
    """Both sinks have heard the same, to the last bit."""
    one, two = job.sink, other.sink
    if isinstance(one, RecordingSearch) and isinstance(two, RecordingSearch):
        assert one.over
        assert one.shown == two.shown
        return
    assert isinstance(one, RecordingSink)
    assert isinstance(two, RecordingSink)
    assert one.over
    assert two.over
    assert one.error is two.error is None
    assert (one.tokens, one.scores, one.near) == (two.tokens, two.scores, two.near)
    assert one.attention == two.attention
    assert one.last == two.last
    np.testing.assert_array_equal(joined(one.prompt_scores), joined(two.prompt_scores))
    np.testing.assert_array_equal(joined(one.prompt_attention), joined(two.prompt_attention))
    assert (one.state is None) == (two.state is None)
    if one.state is not None and two.state is not None:
        assert one.state.keys() == two.state.keys()
        for name, array in one.state.items():
            np.testing.assert_array_equal(array, two.state[name])
