from pathlib import Path

import pytest

from quartet.config import ConfigError
from quartet.kit.cli import main
from quartet.kit.measurements import Measurements, dump_measurements
from tests.unit.quartet.kit.figures import measurements, model


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    file = tmp_path / "measurements.json"
    file.write_text(dump_measurements(measurements(model("a"), model("b"))))
    return file


def kit(measured: Path, out: Path, *words: str) -> int:
    return main(["repo", "--measurements", str(measured), "--out", str(out), *words])


def written(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_kit_of_earlier_measurements_is_the_same_each_time(
    measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kit(measured, tmp_path / "one") == kit(measured, tmp_path / "two") == 0
    assert written(tmp_path / "one") == written(tmp_path / "two")
    assert written(tmp_path / "one")["measurements.json"] == measured.read_bytes()
    assert "2 model(s), 70 requests/s a replica" in capsys.readouterr().out


def test_kit_tells_its_doubts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "m.json"
    file.write_text(dump_measurements(measurements(others_cpu=2.0)))
    assert kit(file, tmp_path / "out", "--accept-doubts") == 0
    assert "doubt: Other processes used 2 of" in capsys.readouterr().err
    page = (tmp_path / "out" / "SIZING.md").read_text()
    assert "## Doubts\n\n- **Grave.** Other processes" in page


@pytest.mark.parametrize(
    "disturbed",
    [
        measurements(others_cpu=2.0),
        measurements(model(rejected=3)),
        measurements(model(capacity=100, requests_per_second=50.0)),
    ],
    ids=["busy machine", "refusals", "behind"],
)
def test_kit_is_not_written_from_a_measurement_that_would_mislead(
    disturbed: Measurements, tmp_path: Path
) -> None:
    file, out = tmp_path / "m.json", tmp_path / "out"
    file.write_text(dump_measurements(disturbed))
    with pytest.raises(ConfigError, match="would mislead: measure again, or --accept-doubts"):
        kit(file, out)
    assert written(out) == {"measurements.json": file.read_bytes()}
    assert kit(out / "measurements.json", out, "--accept-doubts") == 0


def test_kit_leaves_a_folder_that_is_not_empty(measured: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("x")
    with pytest.raises(ConfigError, match="is not empty: give another, or --force"):
        kit(measured, out)
    assert written(out) == {"mine": b"x"}
    assert kit(measured, out, "--force") == 0
    assert (out / "mine").read_text() == "x"


def test_kit_names_a_folder_that_cannot_be_written(measured: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"measurements\.json/out: cannot be written"):
        kit(measured, measured / "out")


@pytest.mark.parametrize(
    ("text", "fault"),
    [("{}", "environment: Field required"), ("no", "Invalid JSON"), ('{"format": 2}', "format")],
)
def test_kit_names_measurements_that_it_cannot_read(text: str, fault: str, tmp_path: Path) -> None:
    file = tmp_path / "m.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=fault):
        kit(file, tmp_path / "out")


def test_kit_names_measurements_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*none\.json: No such file"):
        kit(tmp_path / "none.json", tmp_path / "out")


def test_settings_that_were_not_measured_are_refused(measured: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="measure anew"):
        kit(measured, tmp_path / "out", "--settings", "QUARTET_GATHER_US=0")


def test_models_of_earlier_measurements_are_not_chosen_again(
    measured: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="use --mix to weigh them"):
        kit(measured, tmp_path / "out", "--models", "a")
