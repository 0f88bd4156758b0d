"""The command ``quartet evaluate``."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from quartet.config import ConfigError
from training.checkpoint import CheckpointError
from training.data.idx import DataError
from training.evaluation.runner import EVALUATION_FILE, evaluate
from training.trained import add_data_dir, evaluation_module


def main(argv: Sequence[str]) -> int:
    """Evaluate one run. Returns the exit status: 0, or 2 for a run or data that cannot be used."""
    arguments = _parser().parse_args(argv)
    try:
        family = evaluation_module(arguments.run)
        opener = partial(family.open_run, arguments.run, arguments.data_dir)
        values, fresh = evaluate(arguments.run, arguments.split, opener, force=arguments.force)
    except (ConfigError, CheckpointError, DataError) as error:
        sys.stderr.write(f"quartet evaluate: {error}\n")
        return 2
    state = "" if fresh else " (stored figures of these weights; --force computes them anew)"
    sys.stdout.write(f"{arguments.split} split{state}\n{family.describe(values)}\n")
    sys.stdout.write(f"written to {arguments.run / EVALUATION_FILE} and PNGs beside it\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quartet evaluate",
        description="Measures a trained run on a held-out split, as evaluation.json and PNGs in "
        "RUN. Classifiers: accuracy with Wilson's 95 % interval, a table of precision, recall and "
        "F1, confusion matrix, reliability curve with the expected calibration error, negative "
        "log-likelihood, and a sheet of the mistakes. Language models: loss, bits for each "
        "character and perplexity beside those of an interpolated n-gram model, the loss by the "
        "length of what was read, and how much of the written text is copied. Captioners: BLEU, "
        "CIDEr-D and ROUGE-L of free decoding at beams of 1, 3 and 5, beside floors, borrowed "
        "captions and people; variety, named nouns, a sheet of pictures drawn by lot. Faces: how "
        "often the gender is as labelled, and the error of the age, by age group. Generators of "
        "pictures: Frechet and kernel distance, precision and recall in the features of a served "
        "classifier, each beside what real pictures reach against others; whether samples show "
        "what was asked for, a sheet of samples, the curves of learning.",
        epilog="The test split is for one final look, so while the weights stay the same a second "
        "call prints what the first one stored.",
    )
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="run directory, such as runs/mnist/lenet"
    )
    add_data_dir(parser)
    parser.add_argument(
        "--split", choices=("test", "validation"), default="test", help="default: test"
    )
    parser.add_argument(
        "--force", action="store_true", help="compute anew although the figures are stored"
    )
    return parser
