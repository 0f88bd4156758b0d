"""The model card (Mitchell et al. 2019, "Model Cards for Model Reporting"), measured facts only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.export.spec import CardFacts


@dataclass(frozen=True, kw_only=True)
class PublishedVersion:
    """One published version."""

    number: int
    precision: str
    default: bool
    size_bytes: int
    validation: float
    test: float
    sha256: str
    """Of model.onnx."""


@dataclass(frozen=True, kw_only=True)
class CardInputs:
    """Everything that the card states."""

    name: str
    facts: CardFacts
    versions: Sequence[PublishedVersion]
    evaluation: Mapping[str, Any]
    """Report of the test split (``training.evaluation``)."""
    speed: Sequence[Mapping[str, Any]]
    """``timing.Comparison`` as dicts; empty without an int8 candidate."""
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
        _versions(card.versions),
        card.decision,
        *_speed(card.speed),
        "## Measured on the test split",
        _evaluation(card.evaluation),
        "## Made by",
        "```sh\n" + "\n".join(card.commands.values()) + "\n```",
        "Configuration, seed, checksums of the data and versions of the tools stand in each "
        "version's `run.json`, as do the figures of versions not listed here.",
    ]
    return "\n\n".join(parts) + "\n"


def _versions(versions: Sequence[PublishedVersion]) -> str:
    lines = [
        "| version | precision | accuracy, validation | accuracy, test | model.onnx | SHA-256 |",
        "|---|---|---|---|---|---|",
    ]
    for entry in versions:
        mark = " (default)" if entry.default else ""
        lines.append(
            f"| {entry.number}{mark} | {entry.precision} | {entry.validation:.2%} | "
            f"{entry.test:.2%} | {entry.size_bytes / 1e6:.2f} MB | `{entry.sha256}` |"
        )
    return "\n".join(lines)


def _speed(comparisons: Sequence[Mapping[str, Any]]) -> list[str]:
    if not comparisons:
        return []
    lines = [
        "| batch | float32, us a row | int8, us a row | int8 / float32 (quartiles) |",
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


def _evaluation(report: Mapping[str, Any]) -> str:
    low, high = report["accuracy_interval_95"]
    lines = [
        f"In PyTorch, float32: accuracy {report['accuracy']:.2%} ({report['correct']} of "
        f"{report['count']}; Wilson 95 % interval {low:.2%} to {high:.2%}), negative "
        f"log-likelihood {report['nll']:.4f} nats, expected calibration error {report['ece']:.4f}.",
        "",
        "| class | precision | recall | F1 | support |",
        "|---|---|---|---|---|",
    ]
    for label, row in report["per_class"].items():
        lines.append(
            f"| {label} | {row['precision']:.4f} | {row['recall']:.4f} | {row['f1']:.4f} | "
            f"{row['support']} |"
        )
    return "\n".join(lines)
