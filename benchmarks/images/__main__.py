"""``python -m benchmarks.images``: measure generated pictures. Linux only."""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.images.measurement import Options, measure_all
from benchmarks.images.report import as_json, as_markdown, summarise
from benchmarks.serving.report import environment
from serving.threads import available_cpus


def main(argv: Sequence[str]) -> int:
    """Measure; the exit status."""
    args = build_parser().parse_args(argv)
    options = Options(
        model=args.model,
        clients=args.clients,
        seconds=args.seconds,
        warm_s=args.warm_seconds,
        repetitions=args.repetitions,
        lanes=available_cpus(),
    )
    where = environment(["python", "-m", "benchmarks.images", *argv])
    with tempfile.TemporaryDirectory(prefix="quartet-bench-") as folder:
        rounds = measure_all(options, Path(folder))
    rows = summarise(rounds)
    print(as_markdown(rows, rounds, where), end="")
    if args.output:
        text = json.dumps(as_json(rows, rounds, where), indent=1)
        args.output.write_text(text + "\n", encoding="utf-8")
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.images", description=__doc__)
    add = parser.add_argument
    add(
        "--model",
        type=Path,
        default=Path("model_repo/dcgan-faces"),
        help="folder of a generator that takes noise alone (default: %(default)s)",
    )
    add("--seconds", type=float, default=4.0, help="of each measurement (default: %(default)s)")
    add("--warm-seconds", type=float, default=1.0, help="before each (default: %(default)s)")
    add("--repetitions", type=int, default=3, help="of the whole (default: %(default)s)")
    add("--clients", type=int, nargs="+", default=[1, 8], help="default: 1 8")
    add("--output", type=Path, help="JSON file of every measurement")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
