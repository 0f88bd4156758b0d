"""The model card (Mitchell et al. 2019, "Model Cards for Model Reporting"), measured facts only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.export.spec import CardFacts, Metric


@dataclass(frozen=True, kw_only=True)
class PublishedVersion:
    """One published version."""

    number: int
    precision: str
    default: bool
    file: str
    """The file that holds the weights."""
    size_bytes: int
    """Of that file."""
    validation: float
    test: float
    sha256: str
    """Of that file."""


@dataclass(frozen=True, kw_only=True)
class CardInputs:
    """Everything that the card states."""

    name: str
    facts: CardFacts
    metric: Metric
    versions: Sequence[PublishedVersion]
    evaluation: str
    """Figures of the test split, Markdown."""
    speed: Sequence[Mapping[str, Any]]
    """``timing.Comparison`` as dicts; empty without an int8 candidate."""
    times: Sequence[Mapping[str, Any]] = ()
    """``timing.BatchTime`` as dicts; empty where there is a comparison."""
    decision: str
    """Why the default version is the default."""
    commands: Mapping[str, str]
    """"train", "evaluate" and "export"."""


def card_text(card: CardInputs) -> str:
    """Markdown of the card."""
    facts = card.facts
    parts = [
        f"# {card.name}: {facts.title}",
        facts.purpose,
        facts.architecture,
        "## Limits",
        "\n".join(f"- {limit}" for limit in facts.limits),
        "## Data",
        facts.data,
        f"Terms: {facts.terms}",
        "## Versions",
        _versions(card.versions, card.metric),
        card.decision,
        *_speed(card.speed, facts.speed_unit),
        *_times(card.times, facts.speed_unit),
        "## Measured on the test split",
        card.evaluation,
        *(part for title, text in facts.sections.items() for part in (f"## {title}", text)),
        "## Made by",
        "```sh\n" + "\n".join(card.commands.values()) + "\n```",
        "Configuration, seed, checksums of the data and versions of the tools stand in each "
        "version's `run.json`, as do the figures of versions not listed here.",
    ]
    return "\n\n".join(parts) + "\n"


def _versions(versions: Sequence[PublishedVersion], metric: Metric) -> str:
    lines = [
        f"| version | precision | {metric.name}, validation | {metric.name}, test | "
        f"{versions[0].file} | SHA-256 |",
        "|---|---|---|---|---|---|",
    ]
    for entry in versions:
        mark = " (default)" if entry.default else ""
        lines.append(
            f"| {entry.number}{mark} | {entry.precision} | {metric.text(entry.validation)} | "
            f"{metric.text(entry.test)} | {entry.size_bytes / 1e6:.2f} MB | `{entry.sha256}` |"
        )
    return "\n".join(lines)


def _speed(comparisons: Sequence[Mapping[str, Any]], unit: str) -> list[str]:
    if not comparisons:
        return []
    lines = [
        f"| batch | float32, us a {unit} | int8, us a {unit} | int8 / float32 (quartiles) |",
        "|---|---|---|---|",
    ]
    for entry in comparisons:
        low, high = entry["ratio_quartiles"]
        lines.append(
            f"| {entry['batch_size']} | {entry['baseline_us_per_row']} | "
            f"{entry['candidate_us_per_row']} | {entry['ratio']} ({low} to {high}) |"
        )
    note = (
        "CPU time of the ONNX Runtime session alone, one thread, medians of alternating rounds on "
        "the exporting machine: absolute times vary from machine to machine, the ratio less."
    )
    return [note, "\n".join(lines)]


def _times(times: Sequence[Mapping[str, Any]], unit: str) -> list[str]:
    if not times:
        return []
    lines = [f"| batch | us a {unit} | against one alone |", "|---|---|---|"]
    lines += [f"| {t['batch_size']} | {t['us_per_row']} | {t['ratio']} |" for t in times]
    note = (
        "CPU time of the ONNX Runtime session alone, one thread, medians of alternating rounds on "
        "the exporting machine; where the last column stays near 1, batches gain nothing."
    )
    return [note, "\n".join(lines)]
