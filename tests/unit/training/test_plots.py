"""Curves as PNG."""

from pathlib import Path

from PIL import Image

from training.loggers import Record
from training.plots import plot_curves


def record(step: int, split: str, **metrics: float) -> Record:
    return Record(
        step=step,
        epoch=0.0,
        split="train" if split == "train" else "validation",
        elapsed_s=0.0,
        metrics=metrics,
    )


def test_plot_curves_draws_a_frame_for_each_metric(tmp_path: Path) -> None:
    records = [
        record(1, "train", loss=1.0, lr=0.1),
        record(2, "train", loss=0.5, lr=0.2),
        record(2, "validation", loss=0.6, accuracy=0.9),
    ]
    plot_curves(records, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size == (1500, 360)
        colours = picture.convert("RGB").getcolors(maxcolors=1 << 20)
    assert colours is not None
    assert len(colours) > 20
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]


def test_plot_curves_of_no_records_writes_nothing(tmp_path: Path) -> None:
    plot_curves([], tmp_path / "curves.png")
    assert list(tmp_path.iterdir()) == []


def test_plot_curves_draws_a_loss_of_nothing_but_zeros(tmp_path: Path) -> None:
    plot_curves([record(step, "train", loss=0.0) for step in (1, 2)], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").is_file()
