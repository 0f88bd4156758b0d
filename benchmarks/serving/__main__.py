"""``python -m benchmarks.serving``: measure the server and print a table. Linux only."""

import argparse
import json
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.serving.measurement import Options, measure_all, prepare
from benchmarks.serving.report import as_json, as_markdown, environment, summarise
from serving.threads import available_cpus


def main(argv: Sequence[str]) -> int:
    """Measure; the exit status."""
    args = build_parser().parse_args(argv)
    options = Options(
        modes=args.modes,
        clients=args.clients,
        seconds=args.seconds,
        repetitions=args.repetitions,
        callers=args.callers,
        model_repository=args.model_repository,
        row_ms=args.row_ms,
        plain_threads=args.plain_threads,
        server_flags=shlex.split(args.server_flags),
    )
    where = environment(["python", "-m", "benchmarks.serving", *argv])
    with tempfile.TemporaryDirectory(prefix="quartet-bench-") as folder:
        measured = measure_all(prepare(Path(folder), options), options)
    rows = summarise(measured)
    print(as_markdown(measured, rows, where), end="")
    if args.output:
        text = json.dumps(as_json(measured, rows, where), indent=1)
        args.output.write_text(text + "\n", encoding="utf-8")
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    add = parser.add_argument
    add(
        "--model-repository",
        type=Path,
        default=Path("model_repo"),
        help="where the picture classifier 'mnist' is taken from (default: %(default)s)",
    )
    add("--seconds", type=float, default=5.0, help="of each measurement (default: %(default)s)")
    add("--repetitions", type=int, default=3, help="of the whole (default: %(default)s)")
    add("--clients", type=int, nargs="+", default=[1, 8, 32, 64], help="closed-loop clients")
    modes = ["http", "grpc", "png"]
    add("--modes", nargs="+", choices=modes, default=modes, help="what clients send")
    add(
        "--callers",
        type=int,
        default=available_cpus(),
        help="threads that call the bare engine (default: the CPUs of this process)",
    )
    add(
        "--row-ms",
        type=float,
        default=None,
        help="widen the reference network until a row takes one core so long",
    )
    add(
        "--plain-threads",
        type=int,
        default=0,
        help="engine threads of the plain application; 0: ONNX Runtime's default",
    )
    add("--server-flags", default="", help="more flags of 'quartet serve', as one word")
    add("--output", type=Path, help="JSON file of every measurement")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
