"""The files an image is built from: linted, pinned, and without what must not be there."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.tools import REPOSITORY_ROOT, require

FOLDER = REPOSITORY_ROOT / "deploy" / "docker"
DOCKERFILE = FOLDER / "Dockerfile"
LISTS = FOLDER / "requirements"
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
ENGINES = {"cpu": "onnxruntime", "gpu": "onnxruntime-gpu"}


def pins(text: str) -> dict[str, str]:
    """Canonical name -> version."""
    return {str(canonicalize_name(name)): version for name, version in PIN.findall(text)}


def pinned(name: str) -> dict[str, str]:
    return pins((LISTS / f"{name}.txt").read_text())


def hadolint(file: Path) -> subprocess.CompletedProcess[str]:
    command = [require("hadolint"), "--failure-threshold", "info", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_dockerfile_is_clean() -> None:
    done = hadolint(DOCKERFILE)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("FROM debian:latest", "DL3007"),
        ("RUN apt-get update && apt-get install -y curl", "DL3008"),
        ("RUN cd /tmp && rm -rf x", "DL3003"),
        ("MAINTAINER nobody", "DL4000"),
        ('HEALTHCHECK CMD ["x"]\nHEALTHCHECK CMD ["y"]', "DL3012"),
    ],
)
def test_dockerfile_with_a_fault_is_refused(tmp_path: Path, line: str, rule: str) -> None:
    faulty = tmp_path / "Dockerfile"
    faulty.write_text(f"{DOCKERFILE.read_text()}\n{line}\n")
    done = hadolint(faulty)
    assert done.returncode != 0
    assert rule in done.stdout


def test_dockerfile_names_no_frontend() -> None:
    """BuildKit would fetch it from a registry at each build."""
    assert not re.search(r"^#\s*syntax\s*=", DOCKERFILE.read_text(), re.MULTILINE | re.IGNORECASE)


@pytest.mark.parametrize("name", ["cpu", "gpu", "video", "build"])
def test_every_pinned_package_has_digests(name: str) -> None:
    text = (LISTS / f"{name}.txt").read_text()
    blocks = re.split(r"\n(?=[A-Za-z0-9])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    assert len(blocks) == len(pins(text)) > 0
    assert [b.split("==")[0] for b in blocks if "--hash=sha256:" not in b] == []


@pytest.mark.parametrize("name", ["cpu", "gpu", "video"])
def test_pinned_versions_are_those_that_are_tested(name: str) -> None:
    tested = pins((REPOSITORY_ROOT / "constraints.txt").read_text())
    found = pinned(name)
    assert {k: v for k, v in found.items() if k in tested} == {
        k: tested[k] for k in found if k in tested
    }
    untested = set(found) - set(tested)
    # NVIDIA's packages are installed by no other way than this and `make serve GPU=1`.
    assert {n for n in untested if not n.startswith("nvidia-")} == set()


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_lists_have_every_dependency_of_the_project(device: str) -> None:
    project = tomllib.loads((REPOSITORY_ROOT / "pyproject.toml").read_text())["project"]
    wanted = {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}
    wanted.remove(canonicalize_name("onnxruntime"))
    wanted.add(canonicalize_name(ENGINES[device]))
    assert wanted <= set(pinned(device))


def test_lists_have_one_engine_each() -> None:
    for device, engine in ENGINES.items():
        assert set(ENGINES.values()) & set(pinned(device)) == {engine}
