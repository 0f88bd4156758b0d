"""Animated pictures of learning."""

from pathlib import Path

import pytest
from PIL import Image, ImageSequence

from training.dcgan.animate import main


def write_sheets(run: Path, *sizes: int) -> None:
    (run / "sheets").mkdir(parents=True)
    for number, size in enumerate(sizes):
        picture = Image.new("L", (size, size), 60 * number)
        picture.save(run / "sheets" / f"samples-{number + 1:04d}.png")


@pytest.mark.parametrize("ending", [".webp", ".gif", ".png", ".APNG"])
def test_each_epoch_is_a_frame_in_its_order(tmp_path: Path, ending: str) -> None:
    write_sheets(tmp_path, 16, 16, 16)
    out = tmp_path / f"learning{ending}"
    assert main([str(tmp_path), str(out), "--frame-ms", "200", "--last-ms", "900"]) == 0
    with Image.open(out) as animation:
        frames = [
            (frame.convert("L").getpixel((5, 5)), frame.info["duration"])
            for frame in ImageSequence.Iterator(animation)
        ]
        assert animation.info["loop"] == 0
    assert [duration for _, duration in frames] == [200, 200, 900]
    # WebP is lossy
    assert [shade for shade, _ in frames] == [pytest.approx(60 * n, abs=3) for n in range(3)]


def test_an_unknown_ending_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sheets(tmp_path, 16)
    assert main([str(tmp_path), str(tmp_path / "learning.mp4")]) == 2
    assert "expected an ending of .webp, .gif, .png, .apng" in capsys.readouterr().err


def test_a_run_without_sheets_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), str(tmp_path / "learning.gif")]) == 2
    assert "expected PNG files, found none" in capsys.readouterr().err


def test_sheets_of_two_sizes_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sheets(tmp_path, 16, 20)
    assert main([str(tmp_path), str(tmp_path / "learning.gif")]) == 2
    assert "samples-0002.png: expected (16, 16) pixels, got (20, 20)" in capsys.readouterr().err
