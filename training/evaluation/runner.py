"""Evaluates a run directory once per split and keeps the answer beside the weights.

``evaluation.json``::

    {"weights_sha256": ..., "data_sha256": {...}, "versions": {...},
     "splits": {"test": {...}, "validation": {...}}}

with the family's pictures, ``<kind>-<split>.png``, and records, ``<kind>-<split>.json``. The test
split is for one final look: while the weights stay the same, a second call returns what the first
one stored.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quartet.config import ConfigError
from training.evaluation.spec import Evaluable, Figures, Split
from training.provenance import package_versions, sha256_of
from training.rundir import RunDirectory, write_json

EVALUATION_FILE = "evaluation.json"


def evaluate(
    run_dir: Path, split: Split, open_run: Callable[[], Evaluable], *, force: bool = False
) -> tuple[Figures, bool]:
    """Figures of ``run_dir``'s best weights on ``split``.

    Args:
        run_dir: what ``quartet train`` wrote.
        split: held-out data.
        open_run: loads weights and data; called only if something must be computed.
        force: compute anew although the stored figures are those of these weights.

    Returns:
        The figures, and whether they were computed now.

    Raises:
        ConfigError: ``run_dir`` has no best.pt, or its evaluation.json is damaged.
    """
    stored = stored_evaluation(run_dir)
    if split in stored["splits"] and not force:
        return stored["splits"][split], False
    run = open_run()
    evaluation = run.evaluate(split)
    for kind, draw in evaluation.plots.items():
        draw(run_dir / f"{kind}-{split}.png")
    for kind, record in evaluation.records.items():
        write_json(run_dir / f"{kind}-{split}.json", record)
    write_json(
        run_dir / EVALUATION_FILE,
        {
            "weights_sha256": stored["weights_sha256"],
            "data_sha256": run.data_checksums(),
            "versions": package_versions("torch", "numpy"),
            "splits": {**stored["splits"], split: evaluation.figures},
        },
    )
    return evaluation.figures, True


def stored_evaluation(run_dir: Path) -> dict[str, Any]:
    """evaluation.json of the present weights; without splits if there is none or they changed.

    Raises:
        ConfigError: ``run_dir`` has no best.pt, or its evaluation.json is damaged.
    """
    best = RunDirectory(run_dir).best
    if not best.is_file():
        raise ConfigError(f"{run_dir} is no finished run: it has no {best.name}")
    weights = sha256_of(best)
    empty: dict[str, Any] = {"weights_sha256": weights, "splits": {}}
    path = run_dir / EVALUATION_FILE
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return stored if stored["weights_sha256"] == weights and stored["splits"] else empty
    except FileNotFoundError:
        return empty
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is damaged ({error!r}); delete it to evaluate anew") from error
