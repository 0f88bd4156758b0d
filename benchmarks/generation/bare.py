"""The bare decode graph in a loop: what the engine gives with no server around it.

``python -m benchmarks.generation.bare`` takes a ``BareSpec`` as JSON on standard input and gives a
``Bare`` on standard output.
"""

import sys
import threading
import time
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from benchmarks.generation.artifact import open_graphs
from benchmarks.serving.usage import measure_usage

WARM_RUNS = 3


class BareSpec(BaseModel):
    """How to call the graph."""

    version: Path
    callers: int
    """Threads, each with rows of its own."""
    rows: int
    """Of each caller."""
    steps: int
    """K of each run."""
    measured_s: float


class Bare(BaseModel):
    """What was measured."""

    callers: int
    rows: int
    symbols_per_s: float
    run_s: float
    """Mean of one run of K steps."""
    foreign_cores: float
    """Cores that other processes used meanwhile: noise."""


def measure(spec: BareSpec) -> Bare:
    """Run ``spec``."""
    graphs = open_graphs(spec.version)
    counts = [0] * spec.callers
    started = threading.Barrier(spec.callers + 1)
    end = threading.Event()

    def call(number: int) -> None:
        generator = np.random.default_rng(number)
        uniform = generator.random((spec.rows, spec.steps), np.float32)
        token, states = np.zeros(spec.rows, np.int64), graphs.zero_states(spec.rows)
        for turn in range(sys.maxsize):
            if turn == WARM_RUNS:
                started.wait()
            if end.is_set():
                return
            tokens, states = graphs.step(token, uniform, states)
            token = tokens[:, -1].copy()
            if turn >= WARM_RUNS:
                counts[number] += 1

    threads = [threading.Thread(target=call, args=(n,)) for n in range(spec.callers)]
    for thread in threads:
        thread.start()
    started.wait()
    before = measure_usage(None)
    time.sleep(spec.measured_s)
    runs, usage = sum(counts), measure_usage(None).since(before)
    end.set()
    for thread in threads:
        thread.join()
    return Bare(
        callers=spec.callers,
        rows=spec.rows,
        symbols_per_s=runs * spec.rows * spec.steps / usage.time_s,
        run_s=usage.time_s * spec.callers / runs,
        foreign_cores=usage.foreign_cores,
    )


if __name__ == "__main__":
    sys.stdout.write(measure(BareSpec.model_validate_json(sys.stdin.read())).model_dump_json())
