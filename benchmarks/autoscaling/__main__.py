"""``python -m benchmarks.autoscaling``: compare signals for scaling, and print tables. Linux only.

Without ``--measure`` it takes what a server took from ``benchmarks/autoscaling/measured.json``.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.autoscaling.experiments import experiments, run
from benchmarks.autoscaling.measurement import measure
from benchmarks.autoscaling.plots import draw
from benchmarks.autoscaling.report import as_json, as_markdown, comparisons_as_markdown
from benchmarks.autoscaling.service import Measured, load_measured
from benchmarks.autoscaling.strategies import all_strategies
from benchmarks.autoscaling.validation import validate
from benchmarks.serving.report import environment

MEASURED = Path(__file__).parent / "measured.json"


def main(argv: Sequence[str]) -> int:
    """Measure, validate or simulate; the exit status."""
    args = build_parser().parse_args(argv)
    if args.measure:
        where = environment(["python", "-m", "benchmarks.autoscaling", *argv])
        lines = [f"{name}: {value}" for name, value in where.items()]
        measured = measure(args.model_repository, args.seconds, args.rounds, lines)
        args.measured.write_text(measured.model_dump_json(indent=1) + "\n", encoding="utf-8")
    else:
        measured = load_measured(args.measured)
    if args.validate:
        print(comparisons_as_markdown(validate(measured.services, args.model_repository)))
        return 0
    simulate(measured, args)
    return 0


def simulate(measured: Measured, args: argparse.Namespace) -> None:
    """Run the experiments and write what was asked for."""
    results = []
    for experiment in experiments(args.peaks):
        if args.only and not any(word in experiment.name for word in args.only):
            continue
        began = time.monotonic()
        results.append(run(experiment, measured, args.seed))
        print(f"{experiment.name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    print(as_markdown(measured, results))
    if args.output:
        args.output.write_text(json.dumps(as_json(measured, results)) + "\n", encoding="utf-8")
    if args.image:
        drawn = [one for one in results if one.experiment.choice is all_strategies]
        draw([one for one in drawn if one.experiment.trace == "burst"], args.image)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.autoscaling", description=__doc__)
    add = parser.add_argument
    add("--measured", type=Path, default=MEASURED, help="what a server took (default: the shipped)")
    add("--measure", action="store_true", help="measure a server first, and write that file")
    add("--validate", action="store_true", help="only compare the simulation with real servers")
    add(
        "--model-repository",
        type=Path,
        default=Path("model_repo"),
        help="where face-attributes is taken from (default: %(default)s)",
    )
    add("--seconds", type=float, default=1.0, help="of each batch size (default: %(default)s)")
    add("--rounds", type=int, default=5, help="of the measurement (default: %(default)s)")
    add(
        "--peaks",
        type=int,
        nargs="+",
        default=[20, 100, 1000],
        help="replicas that the greatest load needs; all strategies are compared at the first",
    )
    add("--only", nargs="+", help="experiments whose name holds one of these words")
    add("--seed", type=int, default=0, help="of arrivals and balancing (default: %(default)s)")
    add("--output", type=Path, help="JSON file of every result")
    add("--image", type=Path, help="PNG of cost against missed targets")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
