"""Turns the sheets of a run into one animated picture of how its generator learned.

``python -m training.dcgan.animate runs/dcgan/faces faces.webp`` reads ``sheets/*.png`` in the order
of the epochs. The ending of the file says what is written: ``.webp``, ``.gif``, or ``.png`` and
``.apng``.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from quartet.config import ConfigError

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".webp": ("WEBP", {"quality": 80, "method": 6}),
    ".gif": ("GIF", {"optimize": True}),
    ".png": ("PNG", {}),
    ".apng": ("PNG", {}),
}
"""Ending -> Pillow's name of the format, and its options."""


def read_sheets(run_dir: Path) -> list[Image.Image]:
    """The sheets of a run in the order of the epochs.

    Raises ConfigError: it has none, or one cannot be read or is of another size than the first.
    """
    files = sorted((run_dir / "sheets").glob("*.png"))
    if not files:
        raise ConfigError(f"{run_dir / 'sheets'}: expected PNG files, found none")
    sheets: list[Image.Image] = []
    for file in files:
        try:
            with Image.open(file) as sheet:
                sheets.append(sheet.convert("RGB"))
        except (UnidentifiedImageError, OSError) as error:
            raise ConfigError(f"{file}: {error}") from error
        if sheets[-1].size != sheets[0].size:
            raise ConfigError(f"{file}: expected {sheets[0].size} pixels, got {sheets[-1].size}")
    return sheets


def animate(sheets: Sequence[Image.Image], path: Path, frame_ms: int, last_ms: int) -> None:
    """Write ``sheets`` one after another, again and again.

    Args:
        sheets: at least one, all of one size.
        path: its ending, in ``FORMATS``, says the format.
        frame_ms: how long each is shown, milliseconds.
        last_ms: how long the last one is.

    Raises:
        ConfigError: the ending is of no such format.
    """
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"{path}: expected an ending of {', '.join(FORMATS)}")
    name, options = FORMATS[path.suffix.lower()]
    sheets[0].save(
        path,
        name,
        save_all=True,
        append_images=list(sheets[1:]),
        duration=[frame_ms] * (len(sheets) - 1) + [last_ms],
        loop=0,
        **options,
    )


def main(argv: Sequence[str]) -> int:
    """Returns the exit status: 0, or 2 for a run or a file that cannot be used."""
    arguments = _parser().parse_args(argv)
    try:
        sheets = read_sheets(arguments.run)
        animate(sheets, arguments.out, arguments.frame_ms, arguments.last_ms)
    except (ConfigError, OSError) as error:
        sys.stderr.write(f"animate: {error}\n")
        return 2
    sys.stdout.write(f"{arguments.out}: {len(sheets)} epochs\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.dcgan.animate",
        description="Turns the sheets of samples of a run, one an epoch, into an animated picture.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory with sheets/")
    parser.add_argument("out", type=Path, metavar="OUT", help="file; .webp, .gif, .png or .apng")
    parser.add_argument("--frame-ms", type=int, default=300, help="time of an epoch; default: 300")
    parser.add_argument(
        "--last-ms", type=int, default=2500, help="time of the last one; default: 2500"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
