"""Which models and versions of a folder are served, and what is said of the others."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quartet.config import ConfigError
from serving.errors import InvalidInput, ModelNotFound, ModelNotReady
from serving.loaded_model import LoadedModel
from serving.loading import load_version
from serving.model_entries import ModelState
from serving.repository import ModelRepository
from tests.e2e.graphs import plus, write_broken_golden, write_model
from tests.serving_parts import make_engines


async def load(root: Path) -> ModelRepository:
    repository = ModelRepository(root, make_engines())
    await repository.load_all()
    return repository


def write_versions(root: Path, *versions: int, config: str = "") -> None:
    for version in versions:
        write_model(root, "m", plus(version), version=version)
    if config:
        (root / "m" / "config.pbtxt").write_text(config)


async def test_load_all_serves_a_bare_model(tmp_path: Path) -> None:
    write_model(tmp_path, "m", plus(1))
    repository = await load(tmp_path)
    model = repository.get("m")
    assert (model.name, model.version, model.provider) == ("m", 1, "CPUExecutionProvider")
    assert [(s.name, s.datatype.wire, s.shape) for s in model.config.inputs] == [
        ("x", "FP32", (-1, 2))
    ]
    assert model.config.max_batch_size == 8
    assert repository.loaded


async def test_load_all_refuses_when_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'.*gone' is not a folder"):
        await load(tmp_path / "gone")


async def test_load_all_serves_the_models_that_are_named(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_model(tmp_path, name, plus(1))
    repository = ModelRepository(tmp_path, make_engines(), ["c", "a"])
    await repository.load_all()
    assert sorted(repository.models) == ["a", "c"]


async def test_load_all_refuses_names_that_are_not_there(tmp_path: Path) -> None:
    write_model(tmp_path, "a", plus(1))
    repository = ModelRepository(tmp_path, make_engines(), ["a", "x", "b"])
    with pytest.raises(ConfigError, match=r"are not in '.*': b, x; it has: a$"):
        await repository.load_all()


async def test_load_all_tells_the_metrics_what_became_of_each_version(tmp_path: Path) -> None:
    write_versions(tmp_path, 1, 2, config="version_policy { all { } }")
    (tmp_path / "m" / "2" / "model.onnx").write_bytes(b"no graph")
    (tmp_path / "empty").mkdir()
    engines = make_engines()
    await ModelRepository(tmp_path, engines).load_all()

    def value(name: str, model: str, version: str) -> float | None:
        labels = {"model": model, "version": version}
        return engines.metrics.registry.get_sample_value(name, labels)

    assert value("quartet_model_ready", "m", "1") == 1
    assert value("quartet_model_ready", "m", "2") == 0
    assert value("quartet_model_ready", "empty", "") == 0
    loaded_s = value("quartet_model_load_seconds", "m", "1")
    assert loaded_s is not None
    assert loaded_s > 0


async def test_load_all_is_content_with_an_empty_folder(tmp_path: Path) -> None:
    assert (await load(tmp_path)).models == {}


async def test_load_all_ignores_hidden_folders_files_and_folders_that_are_no_version(
    tmp_path: Path,
) -> None:
    write_model(tmp_path, "m", plus(1))
    write_model(tmp_path, ".hidden", plus(1))
    (tmp_path / "notes.txt").write_text("mine")
    for name in ("0", "01", "v2", "2.tmp", "\u0663", "configs"):
        (tmp_path / "m" / name).mkdir()
    (tmp_path / "m" / "2").write_text("a file")
    repository = await load(tmp_path)
    assert list(repository.models) == ["m"]
    assert list(repository.models["m"].versions) == [1]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", [10]),
        ("version_policy { latest { num_versions: 2 } }", [3, 10]),
        ("version_policy { latest { num_versions: 9 } }", [2, 3, 10]),
        ("version_policy { all { } }", [2, 3, 10]),
        ("version_policy { specific { versions: [3, 2] } }", [2, 3]),
    ],
)
async def test_load_all_loads_the_versions_that_the_policy_wants(
    tmp_path: Path, policy: str, expected: list[int]
) -> None:
    write_versions(tmp_path, 2, 3, 10, config=policy)
    repository = await load(tmp_path)
    assert repository.models["m"].ready_versions() == expected
    assert repository.get("m").version == max(expected)


async def test_load_all_says_which_version_the_policy_misses(tmp_path: Path) -> None:
    write_versions(tmp_path, 1, config="version_policy { specific { versions: [1, 7] } }")
    repository = await load(tmp_path)
    with pytest.raises(ModelNotReady, match=r"wants versions \[7\], found are \[1\]"):
        repository.get("m")


async def test_get_finds_each_version_by_its_number(tmp_path: Path) -> None:
    write_versions(tmp_path, 1, 2, config="version_policy { all { } }")
    repository = await load(tmp_path)
    assert [repository.get("m", text).version for text in ("1", "2", "")] == [1, 2, 2]


async def test_broken_models_do_not_stop_the_others(tmp_path: Path) -> None:
    corrupt = write_model(tmp_path, "corrupt", plus(1))
    (corrupt / "model.onnx").write_bytes(b"no model")
    write_model(tmp_path, "empty", plus(1)).joinpath("model.onnx").unlink()
    write_model(tmp_path, "misspelt", plus(1), config="max_bach_size: 4")
    write_model(
        tmp_path,
        "contradicts",
        plus(1),
        config='input [ { name: "z" data_type: TYPE_FP32 dims: [ 2 ] } ]',
    )
    write_broken_golden(write_model(tmp_path, "golden", plus(1)))
    (tmp_path / "versionless").mkdir()
    write_model(tmp_path, "well", plus(1))

    repository = await load(tmp_path)

    assert repository.get("well").version == 1
    for name, reason in {
        "corrupt": "version 1: model.onnx: ONNX Runtime cannot load it",
        "empty": "version 1: empty/1 has no file 'model.onnx'",
        "misspelt": "config.pbtxt.*max_bach_size",
        "contradicts": r"input 'z' is not in the graph, which has \['x'\]",
        "golden": "version 1: golden check failed: output 'y' differs by up to",
        "versionless": "has no version folder; expected versionless/1/model.onnx",
    }.items():
        with pytest.raises(ModelNotReady, match=f"{name!r} has no available versions: .*{reason}"):
            repository.get(name)


async def test_unexpected_faults_of_one_model_are_logged_and_do_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_model(tmp_path, "a", plus(1))
    write_model(tmp_path, "b", plus(1))

    def fails_on_a(name: str, *rest: Any) -> LoadedModel:
        if name == "a":
            raise ZeroDivisionError("inside")
        return load_version(name, *rest)

    monkeypatch.setattr("serving.repository.load_version", fails_on_a)
    repository = await load(tmp_path)
    assert repository.get("b").version == 1
    entry = repository.models["a"].versions[1]
    assert (entry.state, entry.reason) == (ModelState.UNAVAILABLE, "unexpected ZeroDivisionError")
    assert "ZeroDivisionError: inside" in caplog.text


async def test_folder_that_cannot_be_read_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_model(tmp_path, "a", plus(1))
    write_model(tmp_path, "b", plus(1))
    listed = Path.iterdir

    def forbidden_in_a(folder: Path) -> Iterator[Path]:
        if folder.name == "a":
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", forbidden_in_a)
    repository = await load(tmp_path)
    assert repository.get("b").version == 1
    with pytest.raises(ModelNotReady, match=r"no available versions: .*Permission denied"):
        repository.get("a")


@pytest.mark.parametrize("absolute", [True, False])
async def test_reasons_for_clients_do_not_tell_where_the_repository_lies(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    absolute: bool,
) -> None:
    write_model(tmp_path, "misspelt", plus(1), config="max_bach_size: 4")
    (write_model(tmp_path, "golden", plus(1)) / "golden.npz").write_bytes(b"no archive")
    (write_model(tmp_path, "corrupt", plus(1)) / "model.onnx").write_bytes(b"no model")
    monkeypatch.chdir(tmp_path.parent)

    repository = await load(tmp_path if absolute else Path(tmp_path.name))

    for name, reason in {
        "misspelt": "misspelt/config.pbtxt:1:",
        "golden": "golden/1/golden.npz is not a golden file",
        "corrupt": "model.onnx: ONNX Runtime cannot load it",
    }.items():
        with pytest.raises(ModelNotReady, match=reason) as caught:
            repository.get(name)
        assert tmp_path.name not in caught.value.message
    assert f"{tmp_path.name}/misspelt/config.pbtxt" in caplog.text


async def test_get_falls_back_to_the_highest_version_that_is_ready(tmp_path: Path) -> None:
    write_versions(tmp_path, 1, 2, config="version_policy { all { } }")
    (tmp_path / "m" / "2" / "model.onnx").write_bytes(b"no model")
    repository = await load(tmp_path)
    assert repository.get("m").version == 1
    with pytest.raises(ModelNotReady, match=r"'m' version 2 is not ready: .*cannot load"):
        repository.get("m", "2")


async def test_get_says_that_a_model_is_loading_and_when_to_ask_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path, "m", plus(1))
    repository = ModelRepository(tmp_path, make_engines())
    told: list[ModelNotReady] = []

    def asked_meanwhile(*arguments: Any) -> LoadedModel:
        for version in ("", "1"):
            with pytest.raises(ModelNotReady, match="is loading") as caught:
                repository.get("m", version)
            told.append(caught.value)
        assert not repository.loaded
        return load_version(*arguments)

    monkeypatch.setattr("serving.repository.load_version", asked_meanwhile)
    await repository.load_all()
    assert repository.get("m").version == 1
    assert [error.retry_after_s for error in told] == [1.0, 1.0]


async def test_get_does_not_find_what_is_not_there(tmp_path: Path) -> None:
    write_model(tmp_path, "m", plus(1))
    repository = await load(tmp_path)
    with pytest.raises(ModelNotFound, match="unknown model: 'n' is not found"):
        repository.get("n")
    with pytest.raises(ModelNotFound, match="'m' version 9 is not found"):
        repository.get("m", "9")


async def test_get_does_not_find_versions_of_thousands_of_digits(tmp_path: Path) -> None:
    """Python refuses to turn such text into a number."""
    write_model(tmp_path, "m", plus(1))
    repository = await load(tmp_path)
    with pytest.raises(ModelNotFound, match="is not found"):
        repository.get("m", "9" * 5000)


@pytest.mark.parametrize("version", ["-1", "abc", "1.0", " 1", "\u0661", "latest"])
async def test_get_refuses_versions_that_are_no_number(tmp_path: Path, version: str) -> None:
    write_model(tmp_path, "m", plus(1))
    repository = await load(tmp_path)
    with pytest.raises(InvalidInput, match="expected a positive integer"):
        repository.get("m", version)


async def test_load_all_warns_by_name_of_fields_without_effect(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_model(tmp_path, "m", plus(1), config="response_cache { enable: true }")
    repository = await load(tmp_path)
    assert repository.get("m").version == 1
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warnings == ["model m: config.pbtxt: response_cache has no effect here"]


async def test_drain_and_close_reach_every_model(tmp_path: Path) -> None:
    write_versions(tmp_path, 1, 2, config="version_policy { all { } }")
    repository = await load(tmp_path)
    await repository.drain()
    repository.close()
    assert [m.version for m in repository.ready_models()] == [1, 2]
