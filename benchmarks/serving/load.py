"""The load generator: a process of its own that reads one ``LoadSpec`` and writes one ``Load``.

``python -m benchmarks.serving.load`` takes the former as JSON on standard input and gives the
latter on standard output. It exits with an error if any answer was wrong.
"""

import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import orjson
from pydantic import BaseModel

from benchmarks.serving.closed_loop import Check, Plan, run_closed_loop
from benchmarks.serving.figures import percentile
from benchmarks.serving.grpc_wire import GrpcWire
from benchmarks.serving.http_wire import HttpWire, http_body, http_post, infer_post
from benchmarks.serving.samples import Floats, Samples, encode_png
from benchmarks.serving.wire import Wire, WireError
from serving.pb.inference import open_inference_grpc_pb2 as pb

Mode = Literal["http", "grpc", "png", "plain"]

HOST = "127.0.0.1"
TENSOR_MODEL, PICTURE_MODEL = "net", "mnist"
INFER_METHOD = "/inference.GRPCInferenceService/ModelInfer"
TOLERANCE = 1e-4
"""Of scores; a batch may be summed in another order than a single row."""


class LoadSpec(BaseModel):
    """What to send where."""

    mode: Mode
    port: int
    clients: int
    server_pid: int
    samples: Path
    warm_s: float
    measured_s: float


class Load(BaseModel):
    """What was measured; CPU as cores, that is seconds of CPU a second of wall time."""

    mode: Mode
    clients: int
    answers: int
    """Inside the window, one row each."""
    rows_per_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    server_cores: float
    load_cores: float
    """The load generator's own."""
    foreign_cores: float
    """Everything else on the machine: noise."""


def measure(spec: LoadSpec) -> Load:
    """Run ``spec``. Raises WireError if an answer was wrong or missing."""
    samples = Samples.load(spec.samples)
    requests, check = _REQUESTS[spec.mode](samples)
    plan = Plan(
        address=(HOST, spec.port),
        requests=requests,
        check=check,
        warm_s=spec.warm_s,
        measured_s=spec.measured_s,
        server_pid=spec.server_pid,
    )
    gc.freeze()
    outcome = run_closed_loop(plan, [_wire(spec) for _ in range(spec.clients)])
    ordered = sorted(outcome.latencies_s)
    if not ordered:
        raise WireError(f"no answer within the {spec.measured_s} s measured")
    usage = outcome.usage
    return Load(
        mode=spec.mode,
        clients=spec.clients,
        answers=len(ordered),
        rows_per_s=len(ordered) / usage.time_s,
        p50_s=percentile(ordered, 50),
        p95_s=percentile(ordered, 95),
        p99_s=percentile(ordered, 99),
        server_cores=usage.server_s / usage.time_s,
        load_cores=usage.own_s / usage.time_s,
        foreign_cores=usage.foreign_cores,
    )


def _wire(spec: LoadSpec) -> Wire:
    return GrpcWire(INFER_METHOD, f"{HOST}:{spec.port}") if spec.mode == "grpc" else HttpWire()


def _http_requests(samples: Samples) -> tuple[list[bytes], Check]:
    shape = (1, *samples.inputs.shape[1:])
    requests = [infer_post(TENSOR_MODEL, "x", "y", shape, x.tobytes()) for x in samples.inputs]
    return requests, _score_check(samples.outputs, http_body)


def _grpc_requests(samples: Samples) -> tuple[list[bytes], Check]:
    def request(x: Floats) -> bytes:
        message = pb.ModelInferRequest(model_name=TENSOR_MODEL, raw_input_contents=[x.tobytes()])
        message.inputs.add(name="x", datatype="FP32", shape=(1, *x.shape))
        return message.SerializeToString()

    def scores(answer: bytes) -> bytes:
        return pb.ModelInferResponse.FromString(answer).raw_output_contents[0]

    return [request(x) for x in samples.inputs], _score_check(samples.outputs, scores)


def _plain_requests(samples: Samples) -> tuple[list[bytes], Check]:
    headers = {"Content-Type": "application/octet-stream"}
    requests = [http_post("/infer", headers, x.tobytes()) for x in samples.inputs]
    return requests, _score_check(samples.outputs, http_body)


def _png_requests(samples: Samples) -> tuple[list[bytes], Check]:
    """Answers must agree with the first one that the same picture got."""
    path, headers = f"/v1/classify/{PICTURE_MODEL}", {"Content-Type": "image/png"}
    first: dict[int, tuple[str, float]] = {}

    def check(index: int, answer: bytes) -> None:
        best = orjson.loads(http_body(answer))["predictions"][0]
        label, probability = first.setdefault(index, (best["label"], best["probability"]))
        if best["label"] != label or abs(best["probability"] - probability) > TOLERANCE:
            raise WireError(f"picture {index}: {best} now, {first[index]} before")

    return [http_post(path, headers, encode_png(picture)) for picture in samples.pictures], check


def _score_check(expected: Floats, scores_of: Callable[[bytes], bytes]) -> Check:
    """Compares the float32 scores that ``scores_of`` finds in an answer."""

    def check(index: int, answer: bytes) -> None:
        got = np.frombuffer(scores_of(answer), np.float32)
        if got.shape != expected[index].shape or not np.allclose(
            got, expected[index], rtol=TOLERANCE, atol=TOLERANCE
        ):
            raise WireError(f"request {index}: expected {expected[index]}, got {got}")

    return check


_REQUESTS: dict[Mode, Callable[[Samples], tuple[Sequence[bytes], Check]]] = {
    "http": _http_requests,
    "grpc": _grpc_requests,
    "png": _png_requests,
    "plain": _plain_requests,
}


if __name__ == "__main__":
    spec = LoadSpec.model_validate_json(sys.stdin.read())
    sys.stdout.write(measure(spec).model_dump_json())
