"""Why a kit cannot be made, as the real server tells it."""

from pathlib import Path

from tests.deploy.kits import run_kit
from tests.e2e.graphs import plus, write_broken_golden, write_model


def test_model_that_fails_to_load_is_named_with_the_reason(tmp_path: Path) -> None:
    write_model(tmp_path / "repo", "good", plus(1))
    write_broken_golden(write_model(tmp_path / "repo", "bad", plus(1)))
    done = run_kit(tmp_path / "repo", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "these models failed to load; bad: HTTP 503" in done.stderr
    assert "golden" in done.stderr


def test_repository_without_any_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    done = run_kit(tmp_path / "repo", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "model" in done.stderr
    assert "Traceback" not in done.stderr


def test_server_that_does_not_get_ready_in_time_is_given_up(tmp_path: Path) -> None:
    write_model(tmp_path / "repo", "good", plus(1))
    done = run_kit(tmp_path / "repo", "--out", tmp_path / "out", "--ready-timeout-s", "0.01")
    assert done.returncode == 1
    assert "did not get ready in 0.01 s" in done.stderr


def test_server_that_refuses_its_settings_is_quoted(tmp_path: Path) -> None:
    write_model(tmp_path / "repo", "good", plus(1))
    flags = ("--settings", "QUARTET_GATHER_US=soon")
    done = run_kit(tmp_path / "repo", "--out", tmp_path / "out", *flags)
    assert done.returncode == 1
    assert "gather_us: Input should be a valid integer" in done.stderr


def test_repository_that_does_not_exist_is_named(tmp_path: Path) -> None:
    done = run_kit(tmp_path / "nowhere", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert f"no such folder of models: {tmp_path / 'nowhere'}" in done.stderr
