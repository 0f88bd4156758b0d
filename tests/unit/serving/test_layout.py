"""Which folders are models, which is one model, and what is said of those that are neither."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from quartet.config import ConfigError
from serving.layout import (
    find_models,
    read_model_config,
    version_folder,
    wait_for_folder,
    wanted_versions,
)
from serving.model_config import VersionPolicy
from tests.virtual_time import VirtualTimeLoop, run_virtual

LATEST = VersionPolicy()


def write(root: Path, *files: str) -> Path:
    """Empty files; names that end in a slash are folders."""
    for file in files:
        path = root / file
        if file.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return root


def versions(root: Path, name: str = "") -> dict[str, list[int]]:
    """Model -> its versions."""
    return {model.name: wanted_versions(model, LATEST) for model in find_models(root, name)}


@pytest.mark.parametrize("name", ["", "digits", "b"])
def test_find_models_calls_each_of_several_folders_by_its_name(tmp_path: Path, name: str) -> None:
    write(tmp_path, "a/1/model.onnx", "b/2/model.onnx")
    assert versions(tmp_path, name) == {"a": [1], "b": [2]}


@pytest.mark.parametrize(
    "files",
    [
        ["1/model.onnx", "2/model.onnx"],
        ["1/model.onnx", "2/model.onnx", "config.pbtxt", "labels.txt", "README.md"],
        ["1/model.onnx/model.onnx", "2/model.onnx/weights.bin"],
        ["config.pbtxt", "1/graph", "2/graph"],
        ["2/other.onnx", "docs/a.txt", ".cache/1/model.onnx", "lost+found/"],
    ],
)
def test_find_models_takes_a_folder_of_versions_as_one_model(
    tmp_path: Path, files: Sequence[str]
) -> None:
    write(tmp_path / "mnist", *files)
    (named,) = find_models(tmp_path / "mnist", "digits")
    (unnamed,) = find_models(tmp_path / "mnist")
    assert (named.name, unnamed.name) == ("digits", "mnist")
    assert (named.path, wanted_versions(named, LATEST)) == (tmp_path / "mnist", [2])


@pytest.mark.parametrize(
    ("files", "graph"),
    [
        (["model.onnx"], "model.onnx"),
        (["resnet50.onnx", "weights.bin", "labels.txt"], "resnet50.onnx"),
        (["model.onnx", "prefill.onnx", "golden.npz"], "model.onnx"),
        (["model.onnx", "docs/a.txt"], "model.onnx"),
    ],
)
def test_find_models_takes_a_bare_graph_as_version_1(
    tmp_path: Path, files: Sequence[str], graph: str
) -> None:
    (model,) = find_models(write(tmp_path, *files), "m")
    assert (model.name, model.graph, wanted_versions(model, LATEST)) == ("m", graph, [1])
    assert read_model_config(model).default_model_filename == graph
    assert version_folder(model.path, 1) == tmp_path


def test_find_models_prefers_versions_to_a_graph_beside_them(tmp_path: Path) -> None:
    assert versions(write(tmp_path, "model.onnx", "7/model.onnx"), "m") == {"m": [7]}


def test_find_models_takes_a_model_that_is_called_by_a_number_as_such(tmp_path: Path) -> None:
    assert versions(write(tmp_path, "1/3/model.onnx", "2/4/model.onnx")) == {"1": [3], "2": [4]}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], r"no model 'm' in .*: found nothing; expected model.onnx, <version>/model.onnx or "),
        (["notes.txt", "model.pt"], r"no model 'm' in .*: found model.pt, notes.txt; expected"),
        ([f"{n:02}.txt" for n in range(12)], r"found 00.txt, .*, 07.txt and 4 more; expected"),
        (["a.onnx", "b.onnx"], r"holds 2 graphs, a.onnx, b.onnx; expected one, or model.onnx"),
        (
            ["1/model.onnx", "mnist/1/model.onnx"],
            r"version folders of one model and folders of models beside it: mnist; expected one or",
        ),
        (["model.onnx", "mnist/1/model.onnx"], r"holds model.onnx of one model and folders of "),
    ],
)
def test_find_models_says_what_it_found_and_what_it_expected(
    tmp_path: Path, files: Sequence[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        find_models(write(tmp_path, *files), "m")


@pytest.mark.parametrize("appears_s", [0.0, 0.35, 5.0])
def test_wait_for_folder_ends_when_the_folder_appears_or_time_is_up(
    tmp_path: Path, appears_s: float
) -> None:
    root = tmp_path / "models"

    async def wait() -> float:
        loop = asyncio.get_running_loop()
        loop.call_later(appears_s, root.mkdir)
        started = loop.time()
        await wait_for_folder(root, 1.0)
        return loop.time() - started

    waited_s = run_virtual(wait(), VirtualTimeLoop())
    assert root.is_dir() == (appears_s < 1)
    assert waited_s - min(appears_s, 1.0) == pytest.approx(0.05, abs=0.06)


def test_find_models_is_content_with_an_empty_folder_when_nothing_is_named(tmp_path: Path) -> None:
    assert find_models(tmp_path) == []


def test_find_models_names_the_file_when_a_folder_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(ConfigError, match=r"cannot be read: .*: Permission denied"):
        find_models(tmp_path)


def test_wanted_versions_says_what_a_model_without_versions_has(tmp_path: Path) -> None:
    (model,) = find_models(write(tmp_path, "mnist/model.pt"))
    message = r"expected mnist/1/model.onnx, found model.pt"
    with pytest.raises(ConfigError, match=message):
        wanted_versions(model, LATEST)


def test_config_of_a_named_model_may_carry_the_name_it_was_exported_with(tmp_path: Path) -> None:
    folder = write(tmp_path / "models", "1/model.onnx")
    (folder / "config.pbtxt").write_text('name: "mnist" max_batch_size: 4')
    (named,) = find_models(folder, "digits")
    assert read_model_config(named).max_batch_size == 4
    (unnamed,) = find_models(folder)
    with pytest.raises(ConfigError, match="must be the folder's name 'models', got 'mnist'"):
        read_model_config(unnamed)
