"""What the steps of the build keep, leave out and write down."""

import importlib.metadata
import json
import marshal
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.docker.steps import debian, sbom, slim
from deploy.docker.steps.bytecode import compile_sources
from deploy.docker.steps.models import CHOICES, ModelChoiceError, copy_models
from deploy.docker.steps.rootfs import DOCUMENTATION, System, libraries
from tests.deploy.tools import REPOSITORY_ROOT

UNCHECKED_HASH = 0b01
"""Flags of a compiled file whose source is never looked at (PEP 552)."""
REPOSITORY = REPOSITORY_ROOT / "model_repo"
STATUS = """Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc (2.36-9)
Version: 2.36-9+deb12u10
Description: GNU C Library
 Version: not a field

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: tzdata
Status: install ok installed
Architecture: all
Version: 2025b-0+deb12u1
"""


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """The root of a system whose /lib is a link, as Debian's is."""
    root = tmp_path / "system"
    (root / "usr/lib").mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    (root / "usr/lib/libc.so.6").write_text("library")
    (root / debian.INFO).mkdir(parents=True)
    (root / debian.STATUS).write_text(STATUS)
    (root / debian.INFO / "libc6:amd64.list").write_text("/.\n/lib\n/lib/libc.so.6\n")
    (root / debian.INFO / "tzdata.list").write_text("/.\n")
    (root / "etc").mkdir()
    (root / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\n')
    return root


def versions(folder: Path) -> dict[str, list[str]]:
    """Model -> its version folders."""
    return {
        model.name: sorted(v.name for v in model.iterdir() if v.is_dir())
        for model in sorted(folder.iterdir())
    }


def test_default_models_are_what_requests_without_a_version_get(tmp_path: Path) -> None:
    copied = copy_models(REPOSITORY, tmp_path / "models", "default")
    assert {name: [str(v) for v in found] for name, found in copied.items()} == versions(
        tmp_path / "models"
    )
    everything = versions(REPOSITORY)
    assert {name: [max(found, key=int)] for name, found in everything.items()} == versions(
        tmp_path / "models"
    )


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_of_models_has_every_model(tmp_path: Path, choice: str) -> None:
    copied = copy_models(REPOSITORY, tmp_path / "models", choice)
    assert sorted(copied) == sorted(versions(REPOSITORY))
    for name, found in copied.items():
        for version in found:
            run = json.loads((tmp_path / "models" / name / str(version) / "run.json").read_text())
            assert choice != "float32" or run["precision"] == "float32"


def test_model_without_the_version_asked_for_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "repository" / "m" / "1"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"precision": "int8", "default": true}')
    with pytest.raises(ModelChoiceError, match=r"'m' has no version of the kind 'float32'.*\[1\]"):
        copy_models(tmp_path / "repository", tmp_path / "models", "float32")


def test_repository_without_models_is_refused(tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    with pytest.raises(ModelChoiceError, match="has no model"):
        copy_models(tmp_path / "repository", tmp_path / "models", "all")


def test_slim_leaves_out_tests_and_tools_and_keeps_metadata(tmp_path: Path) -> None:
    unused = ["numpy/f2py/x.py", "onnxruntime/tools/x.py", "p/tests/test_x.py", "p/x.pyi"]
    kept = ["numpy/core/x.py", "onnxruntime/capi/x.py", "p/x.py", "p-1.dist-info/METADATA"]
    for name in [*unused, *kept]:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    assert slim.slim(tmp_path, cuda_fft=False) == len(unused)
    assert sorted(
        str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*") if f.is_file()
    ) == sorted(kept)


@pytest.mark.parametrize("cuda_fft", [False, True])
def test_slim_keeps_the_cuda_libraries_that_the_engine_loads(
    tmp_path: Path, *, cuda_fft: bool
) -> None:
    kept = ["libcublas.so.13", "libcudnn.so.9", "libcudnn_ops.so.9", "libnvrtc-builtins.so.13.5"]
    gone = ["libcufftw.so.12", "libnvblas.so.13", "libcublas.a", "cublas.h", "__init__.py"]
    libraries_there = tmp_path / "nvidia" / "cu13" / "lib"
    libraries_there.mkdir(parents=True)
    for name in [*kept, *gone, "libcufft.so.12"]:
        (libraries_there / name).write_bytes(b"")
    slim.keep_cuda_libraries(tmp_path / "nvidia", cuda_fft=cuda_fft)
    expected = sorted([*kept, *(["libcufft.so.12"] if cuda_fft else [])])
    assert sorted(f.name for f in libraries_there.iterdir()) == expected


def test_slim_refuses_to_keep_a_cuda_library_without_one_that_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "nvidia" / "lib" / "libcublas.so.13"
    library.parent.mkdir(parents=True)
    library.write_bytes(b"\x7fELF")
    monkeypatch.setattr(
        "deploy.docker.steps.elf.needed", lambda file: ["libc.so.6", "libcublasLt.so.13"]
    )
    with pytest.raises(ValueError, match=r"libcublas\.so\.13 needs libcublasLt\.so\.13"):
        slim.keep_cuda_libraries(tmp_path / "nvidia", cuda_fft=False)


def test_packages_are_those_that_are_installed(system: Path) -> None:
    packages = debian.read_packages(system)
    assert [(p.name, p.version, p.source) for p in packages.values()] == [
        ("libc6", "2.36-9+deb12u10", "glibc"),
        ("tzdata", "2025b-0+deb12u1", "tzdata"),
    ]


def test_owner_of_a_file_is_found_by_either_of_its_names(system: Path) -> None:
    owned = debian.owners(system, debian.read_packages(system))
    assert owned[debian.real_path(system, "/usr/lib/libc.so.6")] == "libc6"
    assert owned[debian.real_path(system, "/lib/libc.so.6")] == "libc6"


def test_system_without_a_package_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no Debian or Ubuntu"):
        debian.read_packages(tmp_path)


def test_copied_file_lies_behind_the_same_links(system: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    System(system, target).copy("/lib/libc.so.6")
    assert (target / "lib").readlink() == Path("usr/lib")
    assert (target / "usr/lib/libc.so.6").read_text() == "library"


def test_licences_stay_and_other_documentation_goes() -> None:
    paths = {
        "/usr/share/doc/libc6/copyright": False,
        "/usr/share/doc/libc6/changelog.gz": True,
        "/usr/share/man/man1/ls.1.gz": True,
        "/usr/share/ca-certificates/mozilla/x.crt": False,
        "/usr/bin/ls": False,
    }
    assert {path: bool(DOCUMENTATION.fullmatch(path)) for path in paths} == paths


@pytest.mark.skipif(shutil.which("ldd") is None, reason="no ldd on this machine")
def test_libraries_of_a_program_are_found_with_the_links_that_lead_there() -> None:
    found, missing = libraries([Path(sys.executable).resolve()])
    assert missing == set()
    assert any(Path(path).name == "libc.so.6" for path in found)
    assert all(Path(path).exists() for path in found)


def test_compiled_sources_say_where_they_will_lie_and_are_not_checked_again(tmp_path: Path) -> None:
    folder = tmp_path / "root" / "lib"
    folder.mkdir(parents=True)
    (folder / "m.py").write_text("x = 1\n")
    compile_sources(folder, tmp_path / "root")
    (compiled,) = folder.glob("__pycache__/m.*.pyc")
    content = compiled.read_bytes()
    assert int.from_bytes(content[4:8], "little") == UNCHECKED_HASH
    assert marshal.loads(content[16:]).co_filename == "/lib/m.py"


def test_source_that_does_not_compile_stops_the_build(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("def f(:\n")
    with pytest.raises(ValueError, match="do not compile"):
        compile_sources(tmp_path)


def test_bill_names_packages_as_scanners_look_them_up(system: Path) -> None:
    urls = [component["purl"] for component in sbom.debian_components(system)]
    assert urls[0] == "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12"


def test_bill_has_the_licences_of_distributions() -> None:
    site_packages = Path(str(importlib.metadata.distribution("numpy").locate_file("")))
    components = {c["name"]: c for c in sbom.python_components([site_packages])}
    expression = components["numpy"]["licenses"][0]["expression"]
    assert "BSD-3-Clause" in expression
    assert components["numpy"]["purl"].startswith("pkg:pypi/numpy@")


def test_bill_of_the_same_content_is_the_same() -> None:
    def made(version: str) -> dict[str, Any]:
        component = {"type": "library", "bom-ref": "x@1", "name": "x", "version": version}
        return sbom.bill("image", "1", "", [component], {"base": "b", "revision": ""})

    assert made("1") == made("1")
    assert made("1")["serialNumber"] != made("2")["serialNumber"]
    assert made("1")["metadata"]["component"]["properties"] == [{"name": "base", "value": "b"}]
