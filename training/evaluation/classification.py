"""The evaluation of any family of picture classifiers."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from training.evaluation.plots import plot_confusion, plot_mistakes, plot_reliability
from training.evaluation.report import Predictions, make_report
from training.evaluation.spec import Evaluation


def evaluate_classifier(predictions: Predictions, labels: tuple[str, ...]) -> Evaluation:
    """Figures of ``report`` and pictures of ``plots``; ``labels`` are the class names by index."""
    report = make_report(predictions, labels)
    return Evaluation(
        figures=report.as_dict(),
        plots={
            "confusion": partial(plot_confusion, report),
            "reliability": partial(plot_reliability, report),
            "mistakes": partial(plot_mistakes, report, predictions.images),
        },
    )


def card_section(report: Mapping[str, Any]) -> str:
    """Markdown of stored figures, for the model card."""
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
