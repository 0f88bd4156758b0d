"""What the image holds, and what it must not."""

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.containers import Store, running
from tests.deploy.tools import REPOSITORY_ROOT

MAX_BYTES = 350_000_000
"""With all shipped models, unpacked."""
SHIPPED = sorted(f.name for f in (REPOSITORY_ROOT / "model_repo").iterdir() if f.is_dir())
FORBIDDEN_PROGRAMS = (
    *("apt", "apt-get", "dpkg", "pip", "pip3", "curl", "wget", "perl"),
    *("as", "cc", "gcc", "g++", "ld", "make", "strip"),
    *("mount", "passwd", "su", "sudo"),
)
LIST_DISTRIBUTIONS = (
    "import importlib.metadata as m, json;"
    "print(json.dumps(sorted([d.metadata['Name'], d.version] for d in m.distributions())))"
)


@pytest.fixture(scope="module")
def root(container_store: Store, cpu_image: str) -> Iterator[Path]:
    """The file system of the image."""
    with container_store.files(cpu_image) as folder:
        yield folder


@pytest.fixture(scope="module")
def bill(root: Path) -> dict[str, Any]:
    """The image's bill of materials."""
    document: dict[str, Any] = json.loads((root / "opt/quartet/sbom.cdx.json").read_text())
    return document


def regular_files(root: Path) -> Iterator[Path]:
    return (path for path in root.rglob("*") if stat.S_ISREG(path.lstat().st_mode))


def test_image_with_all_shipped_models_is_within_its_bound(
    container_store: Store, cpu_image: str
) -> None:
    assert container_store.inspect(cpu_image)["Size"] <= MAX_BYTES


def test_image_has_every_shipped_model(root: Path) -> None:
    assert sorted(f.name for f in (root / "models").iterdir()) == SHIPPED
    assert len(SHIPPED) == 9


def test_image_runs_as_a_user_without_privileges(
    container_store: Store, cpu_image: str, root: Path
) -> None:
    config = container_store.inspect(cpu_image)["Config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["quartet"]
    assert config["Cmd"] == ["serve"]
    assert config["StopSignal"] == "SIGTERM"
    assert set(config["ExposedPorts"]) == {"8000/tcp", "8001/tcp", "8002/tcp"}
    assert re.search(r"^quartet:x:65532:65532:", (root / "etc/passwd").read_text(), re.MULTILINE)


def test_image_says_what_it_is(container_store: Store, cpu_image: str) -> None:
    labels = container_store.inspect(cpu_image)["Labels"]
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}title"] == "quartet"
    assert labels[f"{prefix}version"] == "0.1.0"
    assert labels[f"{prefix}revision"] == "0123456789abcdef"
    assert labels[f"{prefix}created"] == "2026-01-02T03:04:05Z"
    assert labels[f"{prefix}licenses"] == "Apache-2.0"


def test_image_has_no_file_that_gives_privileges(root: Path) -> None:
    privileged = stat.S_ISUID | stat.S_ISGID
    assert [f for f in regular_files(root) if f.lstat().st_mode & privileged] == []


def test_image_has_no_file_that_its_user_may_write(root: Path) -> None:
    writable = [
        path
        for path in root.rglob("*")
        if not path.is_symlink()
        and (path.lstat().st_mode & stat.S_IWOTH or path.lstat().st_uid == 65532)
    ]
    assert writable == [root / "tmp"]


def test_image_has_no_installer_and_no_compiler(root: Path) -> None:
    folders = [root / name for name in ("usr/bin", "usr/sbin", "usr/local/bin", "opt/venv/bin")]
    programs = {p.name for folder in folders if folder.is_dir() for p in folder.iterdir()}
    assert {"python", "quartet"} <= programs
    assert not programs & set(FORBIDDEN_PROGRAMS)
    packages = {p.name for p in root.rglob("*") if p.is_dir() and p.name in ("pip", "setuptools")}
    assert not packages


def test_image_keeps_nothing_of_the_machine_that_built_it(root: Path) -> None:
    configuration = {"pip.conf", "sources.list", ".netrc", "resolv.conf", ".pypirc", "hosts"}
    assert [p for p in regular_files(root) if p.name in configuration] == []
    bundled = (root / "etc/ssl/certs/ca-certificates.crt").read_text().count("BEGIN CERTIFICATE")
    packaged = [f.read_text() for f in (root / "usr/share/ca-certificates").rglob("*.crt")]
    assert bundled == sum(text.count("BEGIN CERTIFICATE") for text in packaged) > 100


def test_image_has_every_python_source_compiled(root: Path) -> None:
    """Its file system is read-only, so that each start would compile what is not."""
    sources = [p for p in regular_files(root) if p.suffix == ".py" and "lib/python3" in str(p)]
    compiled = {p.parent.parent / f"{p.name.split('.')[0]}.py" for p in root.rglob("*.pyc")}
    assert len(sources) > 1000
    assert [p for p in sources if p not in compiled] == []


def test_bill_lists_exactly_the_python_distributions_that_are_installed(
    container_store: Store, cpu_image: str, bill: dict[str, Any]
) -> None:
    listed = sorted(
        [c["name"], c["version"]]
        for c in bill["components"]
        if c.get("purl", "").startswith("pkg:pypi/")
    )
    with running(
        container_store, cpu_image, flags=("--entrypoint=sleep",), command=("60",)
    ) as container:
        answer = container.execute("python", "-c", LIST_DISTRIBUTIONS)
    assert listed == json.loads(answer.stdout)
    assert ["quartet", "0.1.0"] in listed


def test_bill_lists_exactly_the_debian_packages_that_are_installed(
    root: Path, bill: dict[str, Any]
) -> None:
    listed = {
        c["name"] for c in bill["components"] if c.get("purl", "").startswith("pkg:deb/debian/")
    }
    status = (root / "var/lib/dpkg/status").read_text()
    assert listed == set(re.findall(r"^Package: (.+)$", status, re.MULTILINE))
    owned = {p.stem.split(":")[0] for p in (root / "var/lib/dpkg/info").glob("*.list")}
    assert listed == owned
    assert {"libc6", "libstdc++6", "libssl3"} <= listed


def test_bill_has_the_digests_of_the_models(root: Path, bill: dict[str, Any]) -> None:
    models = {c["name"]: c for c in bill["components"] if c["type"] == "machine-learning-model"}
    assert sorted(models) == SHIPPED
    version = models["mnist"]["version"]
    run = json.loads((root / "models/mnist" / version / "run.json").read_text())
    digests = {f["name"]: f["hashes"][0]["content"] for f in models["mnist"]["components"]}
    assert run["sha256"].items() <= digests.items()


def test_every_library_of_the_image_finds_those_that_it_needs(
    container_store: Store, cpu_image: str
) -> None:
    """Imports every extension module: a library that pruning took too much of fails to load."""
    code = (
        "import pathlib, sys, sysconfig, ctypes\n"
        "folders = [sysconfig.get_path('purelib'), sysconfig.get_path('stdlib')]\n"
        "files = [f for d in folders for f in pathlib.Path(d).rglob('*.cpython-*.so')]\n"
        "import onnxruntime, numpy, PIL.Image\n"
        "failed = []\n"
        "for f in files:\n"
        "    try: ctypes.CDLL(str(f), mode=ctypes.RTLD_LOCAL)\n"
        "    except OSError as e: failed.append(str(e))\n"
        "print(len(files), *failed, sep='\\n'); sys.exit(bool(failed))"
    )
    with running(
        container_store, cpu_image, flags=("--entrypoint=sleep",), command=("60",)
    ) as container:
        answer = container.execute("python", "-c", code)
    assert answer.returncode == 0, answer.stdout
    assert int(answer.stdout.split()[0]) > 50
