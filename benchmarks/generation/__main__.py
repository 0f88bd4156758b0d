"""``python -m benchmarks.generation``: measure streaming generation. Linux only."""

import argparse
import json
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.generation.measurement import Options, measure_all
from benchmarks.generation.report import as_json, as_markdown, summarise
from benchmarks.serving.report import environment
from serving.threads import available_cpus


def main(argv: Sequence[str]) -> int:
    """Measure; the exit status."""
    args = build_parser().parse_args(argv)
    options = Options(
        model=args.model,
        clients=args.clients,
        lengths=args.lengths,
        seconds=args.seconds,
        warm_s=args.warm_seconds,
        repetitions=args.repetitions,
        lanes=args.lanes,
        server_flags=shlex.split(args.server_flags),
    )
    where = environment(["python", "-m", "benchmarks.generation", *argv])
    with tempfile.TemporaryDirectory(prefix="quartet-bench-") as folder:
        measured = measure_all(options, Path(folder))
    rows = summarise(measured)
    print(as_markdown(measured, rows, where), end="")
    if args.output:
        text = json.dumps(as_json(measured, rows, where), indent=1)
        args.output.write_text(text + "\n", encoding="utf-8")
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generation", description=__doc__)
    add = parser.add_argument
    add(
        "--model",
        type=Path,
        default=Path("model_repo/shakespeare"),
        help="folder of a generator (default: %(default)s)",
    )
    add("--seconds", type=float, default=5.0, help="of each measurement (default: %(default)s)")
    add("--warm-seconds", type=float, default=2.0, help="before each (default: %(default)s)")
    add("--repetitions", type=int, default=3, help="of the whole (default: %(default)s)")
    add("--clients", type=int, nargs="+", default=[1, 8, 32, 64], help="streaming clients")
    lengths = ["fixed", "mixed"]
    add("--lengths", nargs="+", choices=lengths, default=lengths, help="of the texts asked for")
    add(
        "--lanes",
        type=int,
        default=available_cpus(),
        help="threads of the bare graph and of the plain server (default: the CPUs)",
    )
    add("--server-flags", default="", help="more flags of 'quartet serve', as one word")
    add("--output", type=Path, help="JSON file of every measurement")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
