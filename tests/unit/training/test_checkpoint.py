"""Checkpoints: round trip, atomic replacement, named faults."""

from pathlib import Path

import pytest
import torch

from training.checkpoint import CheckpointError, load_checkpoint, save_checkpoint


def test_load_checkpoint_gives_back_what_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"weights": {"w": torch.arange(3.0)}, "step": 7, "best": None})
    state = load_checkpoint(path)
    assert torch.equal(state["weights"]["w"], torch.arange(3.0))
    assert (state["step"], state["best"]) == (7, None)


def test_save_checkpoint_leaves_no_partial_file(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last.pt", {"step": 1})
    save_checkpoint(tmp_path / "last.pt", {"step": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]
    assert load_checkpoint(tmp_path / "last.pt")["step"] == 2


def test_save_checkpoint_keeps_the_old_file_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"step": 1})
    with pytest.raises(AttributeError):
        save_checkpoint(path, {"step": lambda: None})  # a local function cannot be pickled
    assert load_checkpoint(path)["step"] == 1


def test_load_checkpoint_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"best\.pt: no such checkpoint"):
        load_checkpoint(tmp_path / "best.pt")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut short"])
def test_load_checkpoint_names_a_damaged_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "best.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"best\.pt is damaged or no checkpoint"):
        load_checkpoint(path)


def test_load_checkpoint_names_a_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    save_checkpoint(path, {"w": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(CheckpointError, match=r"best\.pt is damaged"):
        load_checkpoint(path)


def test_load_checkpoint_refuses_pickled_objects(tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    torch.save({"path": Path("anything")}, path)
    with pytest.raises(CheckpointError, match="damaged or no checkpoint"):
        load_checkpoint(path)


def test_load_checkpoint_refuses_what_is_no_dict(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "best.pt")
    with pytest.raises(CheckpointError, match="expected a dict, got Tensor"):
        load_checkpoint(tmp_path / "best.pt")
