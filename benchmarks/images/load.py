"""The load generator over HTTP: N clients that each get one answer of pictures after the other.

``python -m benchmarks.images.load`` takes a ``LoadSpec`` as JSON on standard input and gives a
``Load`` on standard output. An answer other than the one got alone ends it with an error.
"""

import hashlib
import sys

from pydantic import BaseModel

from benchmarks.serving.closed_loop import Plan, run_closed_loop
from benchmarks.serving.figures import percentile
from benchmarks.serving.http_wire import HttpWire, http_body
from benchmarks.serving.wire import WireError

HOST = "127.0.0.1"


class LoadSpec(BaseModel):
    """One closed loop."""

    port: int
    paths: list[str]
    """Path and query of each request."""
    accept: str
    """Media type wanted."""
    digests: list[str]
    """SHA-256 of what each gives alone."""
    pictures: int
    """Of one answer."""
    clients: int
    server_pid: int
    warm_s: float
    measured_s: float


class Load(BaseModel):
    """What was measured, inside the window."""

    pictures_per_s: float
    p50_s: float
    """Of a whole answer, from before its request was sent to its last byte."""
    p95_s: float
    server_cores: float
    load_cores: float
    foreign_cores: float


def measure(spec: LoadSpec) -> Load:
    """Run ``spec``. Raises WireError for a wrong answer."""

    def check(index: int, answer: bytes) -> None:
        got = hashlib.sha256(http_body(answer)).hexdigest()
        if got != spec.digests[index]:
            raise WireError(f"{spec.paths[index]}: other bytes than alone")

    plan = Plan(
        address=(HOST, spec.port),
        requests=[_get(path, spec.accept) for path in spec.paths],
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
        pictures_per_s=len(ordered) * spec.pictures / usage.time_s,
        p50_s=percentile(ordered, 50),
        p95_s=percentile(ordered, 95),
        server_cores=usage.server_s / usage.time_s,
        load_cores=usage.own_s / usage.time_s,
        foreign_cores=usage.foreign_cores,
    )


def _get(path: str, accept: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nAccept: {accept}\r\n\r\n".encode()


if __name__ == "__main__":
    sys.stdout.write(measure(LoadSpec.model_validate_json(sys.stdin.read())).model_dump_json())
