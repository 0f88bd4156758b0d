from pathlib import Path

import pytest
import yaml

from quartet.monitoring.__main__ import main
from quartet.monitoring.files import monitoring_files, stale_files, write_files
from quartet.monitoring.yaml_text import yaml_text

FILES = {"a.yaml": "a: 1\n", "deep/b.json": "{}\n", "../beside.txt": "é\n"}


def test_files_are_written_below_their_folder_and_beside_it(tmp_path: Path) -> None:
    write_files(tmp_path / "monitoring", FILES)

    assert (tmp_path / "monitoring" / "deep" / "b.json").read_text() == "{}\n"
    assert (tmp_path / "beside.txt").read_bytes() == "é\n".encode()


def test_what_was_just_written_is_not_stale(tmp_path: Path) -> None:
    write_files(tmp_path / "monitoring", FILES)

    assert stale_files(tmp_path / "monitoring", FILES) == []


def test_what_is_missing_or_changed_is_stale(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.yaml": "a: 2\n"})

    assert stale_files(tmp_path, {"a.yaml": "a: 1\n", "b": ""}) == ["a.yaml", "b"]


def test_the_command_writes_what_its_check_accepts(tmp_path: Path) -> None:
    out = tmp_path / "deploy" / "monitoring"

    assert main(["--out", str(out)]) == 0
    assert main(["--out", str(out), "--check"]) == 0


def test_the_check_names_a_file_that_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deploy" / "monitoring"
    main(["--out", str(out)])
    (out / "prometheus" / "rules.yaml").write_text("groups: []\n")

    assert main(["--out", str(out), "--check"]) == 1
    assert str(out / "prometheus" / "rules.yaml") in capsys.readouterr().err
    assert (out / "prometheus" / "rules.yaml").read_text() == "groups: []\n"


def test_two_runs_give_the_same_bytes() -> None:
    assert monitoring_files() == monitoring_files()


def test_yaml_keeps_order_and_lines_and_is_read_back() -> None:
    document = {"b": "one\n  two", "a": [{"expr": 'x{y="z"}'}], "c": "0123"}
    text = yaml_text(document, "first\n\nsecond")

    assert text.startswith("# first\n#\n# second\nb: |-\n  one\n    two\na:\n  - expr:")
    assert yaml.safe_load(text) == document
