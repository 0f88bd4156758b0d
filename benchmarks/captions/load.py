"""The load generator: N clients that each post one photo after the other over HTTP.

``python -m benchmarks.captions.load`` takes a ``LoadSpec`` as JSON on standard input and gives a
``Load`` on standard output. A caption that is not what the photo gets alone ends it with an error.
"""

import sys
from collections.abc import Sequence

import orjson
from pydantic import BaseModel

from benchmarks.captions.photos import draw_photos
from benchmarks.serving.closed_loop import Plan, run_closed_loop
from benchmarks.serving.figures import percentile
from benchmarks.serving.http_wire import HttpWire, http_body, http_post
from benchmarks.serving.wire import WireError

HOST = "127.0.0.1"


class LoadSpec(BaseModel):
    """One closed loop."""

    port: int
    model: str
    clients: int
    width: int
    """Of the search."""
    expected: list[str]
    """The caption of each photo."""
    server_pid: int
    warm_s: float
    measured_s: float


class Load(BaseModel):
    """What was measured, inside the window."""

    captions_per_s: float
    p50_s: float
    p95_s: float
    server_cores: float
    load_cores: float
    foreign_cores: float


def measure(spec: LoadSpec) -> Load:
    """Run ``spec``. Raises WireError for a wrong answer."""

    def check(index: int, answer: bytes) -> None:
        got = caption_of(http_body(answer))
        if got != spec.expected[index]:
            raise WireError(f"photo {index}: {got!r}, alone {spec.expected[index]!r}")

    plan = Plan(
        address=(HOST, spec.port),
        requests=photo_posts(spec.model, spec.width, draw_photos(len(spec.expected))),
        check=check,
        warm_s=spec.warm_s,
        measured_s=spec.measured_s,
        server_pid=spec.server_pid,
    )
    outcome = run_closed_loop(plan, [HttpWire() for _ in range(spec.clients)])
    ordered, usage = sorted(outcome.latencies_s), outcome.usage
    if not ordered:
        raise WireError(f"no answer within the {spec.measured_s} s measured")
    return Load(
        captions_per_s=len(ordered) / usage.time_s,
        p50_s=percentile(ordered, 50),
        p95_s=percentile(ordered, 95),
        server_cores=usage.server_s / usage.time_s,
        load_cores=usage.own_s / usage.time_s,
        foreign_cores=usage.foreign_cores,
    )


def photo_posts(model: str, width: int, photos: Sequence[bytes]) -> list[bytes]:
    """A request for the best caption of each photo, as it goes onto the wire."""
    path, headers = f"/v1/captions/{model}?beam_width={width}", {"Content-Type": "image/jpeg"}
    return [http_post(path, headers, photo) for photo in photos]


def caption_of(body: bytes) -> str:
    """The text in an answer."""
    return str(orjson.loads(body)["captions"][0]["text"])


if __name__ == "__main__":
    sys.stdout.write(measure(LoadSpec.model_validate_json(sys.stdin.read())).model_dump_json())
