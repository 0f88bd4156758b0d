"""The run directory: what is written, what is refused."""

import json
from pathlib import Path

import pytest

from quartet.config import ConfigError
from training.mnist.config import MnistConfig
from training.rundir import RunDirectory, write_json


def test_create_writes_the_configuration_and_the_family(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "runs" / "mnist" / "a")
    run.create("mnist", MnistConfig())
    family, values = run.read_config()
    assert family == "mnist"
    assert MnistConfig.model_validate(values) == MnistConfig()


def test_create_keeps_this_machines_folders_out(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "a")
    run.create("mnist", MnistConfig(data_dir=Path("/secret/place"), download=True))
    assert "secret" not in run.config.read_text()
    assert "download" not in json.loads(run.config.read_text())


def test_create_refuses_an_existing_run(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "a")
    run.create("mnist", MnistConfig())
    with pytest.raises(ConfigError, match=r"exists already; resume it with --resume"):
        run.create("mnist", MnistConfig())


def test_read_config_names_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no run directory"):
        RunDirectory(tmp_path).read_config()


@pytest.mark.parametrize("text", ["{", "[]", '{"model": {}}'])
def test_read_config_names_a_damaged_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json is not a run's configuration"):
        RunDirectory(tmp_path).read_config()


def test_write_json_replaces_the_file_in_one_step(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1})
    write_json(tmp_path / "a.json", {"a": 2})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
