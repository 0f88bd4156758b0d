"""One request at a time: threads that each take a picture through all graphs, then the next.

``python -m benchmarks.captions.one_by_one`` takes a ``OneByOneSpec`` as JSON on standard input and
gives a ``OneByOne`` on standard output.
"""

import sys
import threading
import time
from pathlib import Path

from pydantic import BaseModel

from benchmarks.captions.graphs import Costs, open_graphs
from benchmarks.captions.photos import draw_photos
from benchmarks.serving.usage import measure_usage


class OneByOneSpec(BaseModel):
    """How to call the graphs."""

    version: Path
    callers: int
    """Threads, each with one picture at a time."""
    photos: int
    width: int
    """Of the search."""
    measured_s: float


class OneByOne(BaseModel):
    """What was measured."""

    captions_per_s: float
    prepare_share: float
    """Of the callers' time: from the file to pixels."""
    encode_share: float
    decode_share: float
    """With the search."""
    texts: list[str]
    """The caption of each photo."""
    foreign_cores: float
    """Cores that other processes used meanwhile: noise."""


def measure(spec: OneByOneSpec) -> OneByOne:
    """Run ``spec``."""
    graphs = open_graphs(spec.version)
    photos = draw_photos(spec.photos)
    texts = [graphs.caption(photo, spec.width, Costs()) for photo in photos]
    costs = [Costs() for _ in range(spec.callers)]
    counts = [0] * spec.callers
    before = measure_usage(None)
    end_s = time.monotonic() + spec.measured_s

    def call(number: int) -> None:
        turn = number * len(photos) // spec.callers
        while time.monotonic() < end_s:
            graphs.caption(photos[turn % len(photos)], spec.width, costs[number])
            turn += 1
            counts[number] += 1

    threads = [threading.Thread(target=call, args=(n,)) for n in range(spec.callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    usage = measure_usage(None).since(before)
    prepare, encode, decode = (
        sum(getattr(cost, name) for cost in costs) for name in ("prepare_s", "encode_s", "decode_s")
    )
    whole = prepare + encode + decode
    return OneByOne(
        captions_per_s=sum(counts) / usage.time_s,
        prepare_share=prepare / whole,
        encode_share=encode / whole,
        decode_share=decode / whole,
        texts=texts,
        foreign_cores=usage.foreign_cores,
    )


if __name__ == "__main__":
    sys.stdout.write(measure(OneByOneSpec.model_validate_json(sys.stdin.read())).model_dump_json())
