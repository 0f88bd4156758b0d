"""The evaluation of any family of picture classifiers."""

from functools import partial

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
