"""Bills of materials against CycloneDX's own schema."""

import json
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from deploy.docker.steps import sbom
from tests.deploy.tools import REPOSITORY_ROOT, require_python

VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
sys.exit(str(error) if error else 0)
"""


def check(document: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "sbom.cdx.json"
    file.write_text(json.dumps(document))
    command = [require_python("cyclonedx"), "-c", VALIDATE, str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def bill() -> dict[str, Any]:
    """Of what is installed here, and of the shipped models."""
    site_packages = Path(sysconfig.get_path("purelib"))
    components = [
        *sbom.python_components([site_packages]),
        *sbom.model_components(REPOSITORY_ROOT / "model_repo"),
    ]
    return sbom.bill("quartet", "0.1.0", "2026-01-02T03:04:05Z", components, {"base": "debian"})


def test_bill_follows_the_specification(bill: dict[str, Any], tmp_path: Path) -> None:
    done = check(bill, tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(bill["components"]) > 50


@pytest.mark.parametrize(
    ("key", "value"), [("type", "package"), ("licenses", [{"name": "MIT"}]), ("size", 1)]
)
def test_bill_with_a_fault_is_refused(
    bill: dict[str, Any], tmp_path: Path, key: str, value: object
) -> None:
    bill["components"][0][key] = value
    assert check(bill, tmp_path).returncode != 0
