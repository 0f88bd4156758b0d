"""Why a kit cannot be made, as the real server tells it."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.deploy.kits import run_kit
from tests.e2e.graphs import plus, write_broken_golden, write_model
from tests.e2e.process import wait_until
from tests.patience import TIMEOUT_S


def children_of(pid: int) -> list[int]:
    """Processes that its main thread started and that have not been waited for."""
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_server_ends_with_the_command_when_that_is_terminated(tmp_path: Path) -> None:
    write_model(tmp_path / "repo", "good", plus(1))
    words = ("kit", str(tmp_path / "repo"), "--out", str(tmp_path / "out"), "--seconds", "600")
    command = [sys.executable, "-m", "quartet", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as kit:
        try:
            wait_until(lambda: children_of(kit.pid), "the server's start")
            (server,) = children_of(kit.pid)
            kit.send_signal(signal.SIGTERM)
            _, error = kit.communicate(timeout=TIMEOUT_S)
        finally:
            kit.kill()
    assert kit.returncode == 1
    assert "quartet kit: terminated" in error
    assert not Path(f"/proc/{server}").exists()


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
