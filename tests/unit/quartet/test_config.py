"""Flags, environment and file: what wins, and what each fault is called."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from pydantic import Field

from quartet.config import Config, ConfigError, load_config


class Inner(Config):
    """A section."""

    rate: float = Field(default=0.5, gt=0)
    """Steps a second."""


class Outer(Config):
    """Explains itself."""

    count: int = Field(default=1, ge=1)
    """How many of them."""
    kind: Literal["big", "small"] = "big"
    """Which of them."""
    names: tuple[str, ...] = ()
    """What they are called."""
    inner: Inner = Inner()
    """The section."""


def load(*argv: str, **options: Any) -> Outer:
    return load_config(Outer, argv, prog="test", **{"env_prefix": "QTEST_", **options})


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    file.write_text('count = 3\nkind = "small"\n[inner]\nrate = 3.5\n')
    return file


def test_load_config_returns_the_defaults_when_nothing_is_given() -> None:
    assert load() == Outer()


def test_load_config_reads_flags_of_sections_and_lists() -> None:
    loaded = load("--count", "2", "--inner.rate=4", "--names", "a", "--names", "b")
    assert loaded == Outer(count=2, inner=Inner(rate=4.0), names=("a", "b"))


def test_load_config_reads_the_file(toml: Path) -> None:
    assert load("--config", str(toml)) == Outer(count=3, kind="small", inner=Inner(rate=3.5))


def test_load_config_prefers_the_environment_to_the_file(
    toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QTEST_COUNT", "4")
    monkeypatch.setenv("QTEST_INNER__RATE", "4.5")
    assert load("--config", str(toml)) == Outer(count=4, kind="small", inner=Inner(rate=4.5))


def test_load_config_prefers_flags_to_environment_and_file(
    toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QTEST_COUNT", "4")
    assert load("--count", "5", "--config", str(toml)).count == 5


def test_load_config_puts_given_defaults_below_every_source(toml: Path) -> None:
    loaded = load("--config", str(toml), defaults={"count": 9, "names": ("n",)})
    assert (loaded.count, loaded.names) == (3, ("n",))


def test_load_config_ignores_the_environment_when_no_prefix_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COUNT", "4")
    assert load(env_prefix=None).count == 1


def test_load_config_ignores_variables_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QTEST_NO_SUCH_KEY", "1")
    assert load() == Outer()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cuont = 3", "cuont: unknown key .got 3."),
        ("[inner]\nrat = 3", "inner.rat: unknown key"),
        ('count = "many"', "count: .*valid integer.* .got 'many'."),
        ("count = 0", "count: .*greater than or equal to 1"),
        ("inner.rate = nan", "inner.rate: .*finite"),
        ('kind = "medium"', "kind: .*'big' or 'small'"),
        ("inner = 3", "inner: .*got 3"),
        ("count = [", "config.toml is not valid TOML"),
        ("count = 1\ncount = 2", "config.toml is not valid TOML"),
    ],
)
def test_load_config_names_the_key_when_the_file_is_wrong(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load("--config", str(file))


def test_load_config_names_every_fault_at_once(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('count = 0\nkind = "medium"\nwhat = 1')
    with pytest.raises(ConfigError) as caught:
        load("--config", str(file))
    assert all(key in str(caught.value) for key in ("count:", "kind:", "what:"))


def test_load_config_names_the_file_when_it_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--config: no such file: .*gone\.toml"):
        load("--config", str(tmp_path / "gone.toml"))


def test_load_config_names_the_file_when_it_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--config: cannot read .*: Is a directory"):
        load("--config", str(tmp_path))


def test_load_config_names_the_file_when_it_is_not_text(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b"count = \xff")
    with pytest.raises(ConfigError, match=r"config\.toml is not valid TOML"):
        load("--config", str(file))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--count", "many"], "count: .*valid integer"),
        (["--inner.rate", "-1"], "inner.rate: .*greater than 0"),
    ],
)
def test_load_config_names_the_key_when_a_flags_value_is_wrong(
    flags: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(*flags)


def test_load_config_names_the_variable_when_its_value_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QTEST_COUNT", "many")
    with pytest.raises(ConfigError, match=r"count: .*valid integer"):
        load()


def test_load_config_names_the_variable_when_a_list_is_not_json(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QTEST_NAMES", "a,b")
    with pytest.raises(ConfigError, match=r'names.*expected JSON, for instance \["a", "b"\]'):
        load()


def test_load_config_exits_with_status_2_when_a_flag_does_not_exist(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        load("--no-such-flag", "1")
    assert caught.value.code == 2
    assert "--no-such-flag" in capsys.readouterr().err


def test_load_config_does_not_guess_abbreviated_flags(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load("--coun", "1")
    assert caught.value.code == 2
    capsys.readouterr()


def test_load_config_explains_every_flag_when_help_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        load("--help")
    text = capsys.readouterr().out
    assert caught.value.code == 0
    for part in ("Explains itself.", "--config FILE", "--inner.rate", "Steps a second.", "{big,"):
        assert part in text


def test_config_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Outer().count = 2  # type: ignore[misc]  # what is forbidden is what is tested


@pytest.mark.parametrize(
    "flags",
    [["--inner.max_rate", "3"], ["--inner.max_rate=3"], ["--inner.max-rate=3"]],
)
def test_load_config_takes_underscores_for_dashes_in_flags(flags: list[str]) -> None:
    class Section(Config):
        max_rate: float = 1.0

    class Root(Config):
        inner: Section = Section()

    assert load_config(Root, flags, prog="test").inner.max_rate == 3


def test_load_config_leaves_underscores_in_values() -> None:
    assert load("--names", "a_b", "--names=c_d", "--kind=big").names == ("a_b", "c_d")


def test_load_config_still_refuses_flags_that_do_not_exist(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        load("--no_such_flag=1")
    assert caught.value.code == 2
    assert "--no-such-flag" in capsys.readouterr().err


class Aliased(Config):
    """Has a flag of two names."""

    model_folder: Path = Path("here")
    """Where."""
    flag_aliases: ClassVar[Mapping[str, str]] = {"model-folder": "model-dir"}


@pytest.mark.parametrize("flag", ["--model-folder", "--model-dir", "--model_dir"])
def test_load_config_takes_a_flag_by_each_of_its_names(flag: str) -> None:
    for argv in ([flag, "there"], [f"{flag}=there"]):
        assert load_config(Aliased, argv, prog="test").model_folder == Path("there")


def test_load_config_takes_the_last_of_a_flags_names() -> None:
    argv = ["--model-dir=first", "--model-folder=last"]
    assert load_config(Aliased, argv, prog="test").model_folder == Path("last")


@pytest.mark.parametrize(
    "link", ["tcp://10.96.14.7:8000", "udp://10.96.14.7:53", "tcp://[fd00::7]:8000"]
)
def test_load_config_passes_over_the_addresses_of_services(
    monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    monkeypatch.setenv("QTEST_COUNT", link)
    assert load().count == 1


def test_load_config_still_refuses_other_text_for_a_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QTEST_COUNT", "tcp://10.96.14.7")
    with pytest.raises(ConfigError, match=r"count: .*integer"):
        load()
