"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run; --hypothesis-profile=default looks for new ones.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

REPOSITORY_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of data sets: ``QUARTET_DATA_DIR``, or ``../shared/data`` beside the checkout."""
    configured = os.environ.get("QUARTET_DATA_DIR")
    folder = Path(configured) if configured else REPOSITORY_ROOT.parent / "shared" / "data"
    if not (folder / "mnist").is_dir():
        pytest.skip(f"no data sets at {folder}; set QUARTET_DATA_DIR")
    return folder
