"""``python -m benchmarks.hosts``: the plain server, its model by another name, and Ray Serve.

Each round measures all of them one after the other, and what counts is the ratio of two
measurements of one round. Ray's ports are fixed, so give the whole a network namespace of its own:
``unshare --net --pid --fork --kill-child --mount-proc sh -c 'ip link set lo up && exec ...'``.
"""

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.hosts.servers import OTHER_NAME, Started, plain, ray_serve
from benchmarks.serving.closed_loop import Plan, run_closed_loop
from benchmarks.serving.figures import percentile, ratios, spread
from benchmarks.serving.http_wire import HttpWire, http_post
from benchmarks.serving.report import environment

MODEL = "mnist"
PLAIN, NAMED, RAY, HAPROXY = "plain", "plain, other name", "Ray Serve", "Ray Serve, HAProxy"
HEAD = ("clients", "host", "requests/s", "median ms", "throughput, of plain", "latency, of plain")
Figures = dict[str, list[float]]
"""Requests a second and median latency, one of each a round."""


def main(argv: Sequence[str]) -> int:
    """Measure; the exit status."""
    args = build_parser().parse_args(argv)
    print(environment(["python", "-m", "benchmarks.hosts", *argv]), end="\n\n")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quartet-bench-")))
        server = stack.enter_context(plain(args.models, MODEL))
        hosts = {PLAIN: (server, MODEL), NAMED: (server, OTHER_NAME)}
        if args.ray.exists():
            ray = ray_serve(args.models, MODEL, args.ray, folder, haproxy=args.haproxy)
            hosts[HAPROXY if args.haproxy else RAY] = (stack.enter_context(ray), MODEL)
        print_row(*HEAD)
        print_row(*("---" for _ in HEAD))
        for clients in args.clients:
            print_rows(clients, measure_rounds(hosts, clients, args))
    return 0


def measure_rounds(
    hosts: Mapping[str, tuple[Started, str]], clients: int, args: argparse.Namespace
) -> dict[str, Figures]:
    """Each host in turn, ``repetitions`` times."""
    figures: dict[str, Figures] = {name: {"rate": [], "latency": []} for name in hosts}
    for _ in range(args.repetitions):
        for name, (host, model) in hosts.items():
            rate, latency_s = measure(host, model, clients, args.seconds)
            figures[name]["rate"].append(rate)
            figures[name]["latency"].append(latency_s * 1000)
    return figures


def measure(host: Started, model: str, clients: int, seconds: float) -> tuple[float, float]:
    """Requests a second and the median latency, seconds, of one row a request."""
    picture = np.random.default_rng(0).integers(0, 256, (1, 28, 28), np.uint8)
    plan = Plan(
        address=("127.0.0.1", host.port),
        requests=[request(model, picture)],
        check=lambda number, answer: None,
        warm_s=1.0,
        measured_s=seconds,
        server_pid=host.pid,
    )
    latencies = sorted(run_closed_loop(plan, [HttpWire() for _ in range(clients)]).latencies_s)
    return len(latencies) / seconds, percentile(latencies, 50)


def request(model: str, picture: np.ndarray) -> bytes:
    """An inference of one picture with binary tensor data both ways."""
    tensor = {
        "name": "image",
        "shape": picture.shape,
        "datatype": "UINT8",
        "parameters": {"binary_data_size": picture.nbytes},
    }
    output = {"name": "probabilities", "parameters": {"binary_data": True}}
    text = json.dumps({"inputs": [tensor], "outputs": [output]}).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(text)),
    }
    return http_post(f"/v2/models/{model}/infer", headers, text + picture.tobytes())


def print_rows(clients: int, figures: Mapping[str, Figures]) -> None:
    """One line a host."""
    base = figures[PLAIN]
    for name, of in figures.items():
        relative = [spread(ratios(of[key], base[key])) for key in ("rate", "latency")]
        rate, latency = spread(of["rate"]).median, spread(of["latency"]).median
        print_row(clients, name, f"{rate:.0f}", f"{latency:.2f}", *relative)


def print_row(*cells: object) -> None:
    """A line of a table in Markdown."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hosts", description=__doc__)
    add = parser.add_argument
    add("--models", type=Path, default=Path("model_repo").resolve(), help="a model repository")
    add("--ray", type=Path, default=Path(".venv/tools/ray/bin/python"), help="Python with Ray")
    add("--haproxy", action="store_true", help="let Ray route by HAProxy, not by its Python proxy")
    add("--seconds", type=float, default=4.0, help="of each measurement (default: %(default)s)")
    add("--repetitions", type=int, default=5, help="rounds (default: %(default)s)")
    add("--clients", type=int, nargs="+", default=[1, 8, 32], help="default: 1 8 32")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
