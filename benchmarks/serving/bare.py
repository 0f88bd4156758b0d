"""The bare engine: ONNX Runtime called by threads that do nothing else, in a process of its own.

``python -m benchmarks.serving.bare`` takes a ``BareSpec`` as JSON on standard input and gives a
``Bare`` on standard output.
"""

import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from pydantic import BaseModel

from benchmarks.serving.usage import measure_usage

WARM_RUNS = 50


class BareSpec(BaseModel):
    """How to call the engine."""

    network: Path
    callers: int
    """Threads that call at once, each run on one engine thread, as the server plans them."""
    batch: int
    measured_s: float


class Bare(BaseModel):
    """What was measured."""

    callers: int
    batch: int
    rows_per_s: float
    run_p50_s: float
    """Median of one call."""
    foreign_cores: float
    """Cores that other processes used meanwhile: noise."""


def measure(spec: BareSpec) -> Bare:
    """Run ``spec``."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        spec.network, options, providers=["CPUExecutionProvider"]
    )
    feed = _feed(session, spec.batch)
    outputs = [node.name for node in session.get_outputs()]
    for _ in range(WARM_RUNS):
        session.run(outputs, feed)
    before = measure_usage(None)
    end_s = time.perf_counter() + spec.measured_s
    durations: list[list[float]] = [[] for _ in range(spec.callers)]

    def call(own: list[float]) -> None:
        now = time.perf_counter()
        while now < end_s:
            started = now
            session.run(outputs, feed)
            now = time.perf_counter()
            own.append(now - started)

    threads = [threading.Thread(target=call, args=(own,)) for own in durations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    usage = measure_usage(None).since(before)
    runs = [duration for own in durations for duration in own]
    return Bare(
        callers=spec.callers,
        batch=spec.batch,
        rows_per_s=len(runs) * spec.batch / usage.time_s,
        run_p50_s=statistics.median(runs),
        foreign_cores=usage.foreign_cores,
    )


def _feed(session: onnxruntime.InferenceSession, batch: int) -> dict[str, Any]:
    """Seeded random values for each input; free axes take ``batch``."""
    generator = np.random.default_rng(0)
    feed: dict[str, Any] = {}
    for node in session.get_inputs():
        shape = [size if isinstance(size, int) else batch for size in node.shape]
        if node.type == "tensor(uint8)":
            feed[node.name] = generator.integers(0, 256, shape, np.uint8)
        elif node.type == "tensor(float)":
            feed[node.name] = generator.random(shape, np.float32)
        else:
            raise ValueError(f"input {node.name!r} is {node.type}, expected float or uint8")
    return feed


if __name__ == "__main__":
    sys.stdout.write(measure(BareSpec.model_validate_json(sys.stdin.read())).model_dump_json())
