"""Families by name."""

import subprocess
import sys

import pytest

from quartet.config import ConfigError
from training.config import TrainingConfig
from training.registry import FAMILIES, load_family


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_loads_under_its_own_name(name: str) -> None:
    family = load_family(name)
    assert family.name == name
    assert issubclass(family.schema, TrainingConfig)


def test_load_family_names_those_that_exist() -> None:
    with pytest.raises(ConfigError, match="unknown family 'mnst'; expected one of: mnist"):
        load_family("mnst")


def test_listing_families_does_not_import_torch() -> None:
    code = "import sys, training.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
