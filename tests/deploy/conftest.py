"""Marks every test of this folder; they skip where a machine lacks the real tools."""

from pathlib import Path

import pytest

from tests.deploy.image_fixtures import container_store, cpu_image

__all__ = ["container_store", "cpu_image"]

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark by folder."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.deploy)
