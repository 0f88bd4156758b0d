"""How both networks learned, as one picture."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from training.loggers import Record

_PANELS = (
    ("loss", (("discriminator_loss", "discriminator"), ("generator_loss", "generator"))),
    (
        "probability of real, training",
        (("probability_real", "real pictures"), ("probability_fake", "generated")),
    ),
    (
        "probability of real, averaged generator",
        (
            ("probability_seen", "training pictures"),
            ("probability_held_out", "held-out pictures"),
            ("probability_fake", "generated"),
        ),
    ),
)
"""Title, then metrics and what they are of; the last panel shows the validations."""
_DPI = 120


def plot_learning(records: Sequence[Record], path: Path) -> None:
    """Losses and the discriminator's probabilities over the epochs, of a run's metrics.jsonl."""
    figure = Figure(figsize=(13.5, 3.8), layout="constrained")
    frames = figure.subplots(1, len(_PANELS), squeeze=False)[0]
    for place, (frame, (title, curves)) in enumerate(zip(frames, _PANELS, strict=True)):
        split = "validation" if place == len(_PANELS) - 1 else "train"
        for metric, label in curves:
            points = [
                (record.epoch, record.metrics[metric])
                for record in records
                if record.split == split and metric in record.metrics
            ]
            if points:
                epochs, values = zip(*points, strict=True)
                frame.plot(epochs, values, label=label, linewidth=1)
        if place:
            frame.set_ylim(0, 1)
        frame.set(title=title, xlabel="epoch")
        frame.grid(alpha=0.3)
        if frame.get_lines():
            frame.legend()
    figure.savefig(path, dpi=_DPI)
