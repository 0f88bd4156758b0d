import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from quartet import __version__, cli
from quartet.config import ConfigError


@pytest.mark.parametrize("flag", ["-h", "--help", "help"])
def test_main_lists_every_command_when_help_is_asked_for(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([flag]) == 0
    text = capsys.readouterr().out
    for name, (_, _, explanation) in cli.COMMANDS.items():
        assert f"  {name} " in text
        assert explanation in text


def test_main_shows_the_usage_and_fails_when_no_command_is_given(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main([]) == 2
    assert "usage: quartet COMMAND" in capsys.readouterr().out


def test_main_names_the_command_when_it_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sreve"]) == 2
    error = capsys.readouterr().err
    assert "no command 'sreve'" in error
    assert "serve a model repository" in error


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_main_prints_the_version(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([flag]) == 0
    assert capsys.readouterr().out == f"quartet {__version__}\n"


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_exists_and_explains_its_flags(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status: object = cli.main([command, "--help"])
    except SystemExit as left:
        status = left.code
    assert status == 0
    assert f"usage: quartet {command}" in capsys.readouterr().out


def test_main_names_the_extra_when_a_package_of_it_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(_: str) -> SimpleNamespace:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(cli, "import_module", missing)
    assert cli.main(["train", "mnist"]) == 1
    assert "quartet train: needs the package 'torch'" in (error := capsys.readouterr().err)
    assert "pip install 'quartet[train]'" in error


def test_main_does_not_blame_an_extra_when_an_own_module_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(_: str) -> SimpleNamespace:
        raise ModuleNotFoundError("No module named 'serving.gone'", name="serving.gone")

    monkeypatch.setattr(cli, "import_module", missing)
    with pytest.raises(ModuleNotFoundError):
        cli.main(["serve"])


def _command(monkeypatch: pytest.MonkeyPatch, error: BaseException | None) -> list[Sequence[str]]:
    calls: list[Sequence[str]] = []

    def serve(argv: Sequence[str]) -> int:
        calls.append(argv)
        if error is not None:
            raise error
        return 7

    monkeypatch.setattr(cli, "import_module", lambda _: SimpleNamespace(serve=serve))
    return calls


def test_main_passes_on_arguments_and_status(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = _command(monkeypatch, None)
    assert cli.main(["serve", "--http-port", "0"]) == 7
    assert calls == [["--http-port", "0"]]


def test_main_prints_the_reason_alone_when_the_configuration_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _command(monkeypatch, ConfigError("http_port: too big"))
    assert cli.main(["serve"]) == 1
    assert capsys.readouterr().err == "quartet serve: http_port: too big\n"


def test_main_returns_130_when_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    _command(monkeypatch, KeyboardInterrupt())
    assert cli.main(["serve"]) == 130


def test_module_runs_as_a_command() -> None:
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-m", "quartet", "--version"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"quartet {__version__}\n"
