from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quartet.config import ConfigError
from serving.batch_queue import QueueRules
from serving.effective_config import EffectiveConfig
from serving.errors import InferenceFailed
from serving.model_config import Warmup, WarmupInput
from serving.types import Array, Datatype, TensorSpec
from serving.warmup import run_warmup, zero_inputs

CONFIG = EffectiveConfig(
    inputs=(
        TensorSpec("x", Datatype.FP32, (-1, 2)),
        TensorSpec("s", Datatype.BYTES, (-1, 1)),
        TensorSpec("n", Datatype.INT8, (-1, -1)),
    ),
    outputs=(TensorSpec("y", Datatype.FP32, (-1, 2)),),
    max_batch_size=4,
    rules=QueueRules(max_rows=4),
    default_timeout_s=None,
    allow_timeout_override=False,
)


class FakeEngine:
    """Remembers what it was given."""

    def __init__(self, error: Exception | None = None) -> None:
        self.runs: list[Mapping[str, Array]] = []
        self._error = error

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        assert list(outputs) == ["y"]
        self.runs.append(inputs)
        if self._error is not None:
            raise self._error
        return []


def warmup_input(name: str, datatype: Datatype = Datatype.FP32, **fields: Any) -> WarmupInput:
    return WarmupInput(
        **{"name": name, "datatype": datatype, "dims": (2,), "kind": "zero", **fields}
    )


def warm_up(
    *inputs: WarmupInput, folder: Path = Path(), **fields: Any
) -> list[Mapping[str, Array]]:
    engine = FakeEngine()
    warmup = Warmup(**{"name": "w", "batch_size": 3, "inputs": inputs, **fields})
    run_warmup(engine, CONFIG, warmup, folder)
    return engine.runs


def test_zero_inputs_are_one_row_with_free_axes_of_one() -> None:
    zeros = zero_inputs(CONFIG)
    assert {name: array.shape for name, array in zeros.items()} == {
        "x": (1, 2),
        "s": (1, 1),
        "n": (1, 1),
    }
    assert zeros["s"].tolist() == [[""]]
    assert zeros["n"].dtype == np.int8


def test_run_warmup_runs_as_often_as_it_says() -> None:
    runs = warm_up(warmup_input("x"), count=3)
    assert [run["x"].tolist() for run in runs] == [[[0.0, 0.0]] * 3] * 3


def test_run_warmup_adds_no_batch_axis_when_the_model_does_not_batch() -> None:
    (run,) = warm_up(warmup_input("x"), batch_size=0)
    assert run["x"].shape == (2,)


@pytest.mark.parametrize("datatype", [Datatype.FP32, Datatype.INT8, Datatype.BOOL])
def test_run_warmup_takes_the_same_random_data_at_every_start(datatype: Datatype) -> None:
    first, second = (
        warm_up(warmup_input("x", datatype, kind="random", dims=(50,)))[0]["x"] for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    assert first.dtype == datatype.dtype
    assert len(np.unique(first)) > 1


@pytest.mark.parametrize("kind", ["zero", "random"])
def test_run_warmup_takes_empty_text(kind: str) -> None:
    (run,) = warm_up(warmup_input("s", Datatype.BYTES, kind=kind))
    assert run["s"].tolist() == [["", ""]] * 3


def test_run_warmup_reads_values_from_files(tmp_path: Path) -> None:
    (tmp_path / "warmup").mkdir()
    values = np.arange(6, dtype="<f4")
    (tmp_path / "warmup" / "x").write_bytes(values.tobytes())
    (tmp_path / "warmup" / "s").write_bytes(b"\2\0\0\0\xc3\xa9" * 3)
    (run,) = warm_up(
        warmup_input("x", kind="file", file="x"),
        warmup_input("s", Datatype.BYTES, kind="file", file="s", dims=(1,)),
        folder=tmp_path,
    )
    np.testing.assert_array_equal(run["x"], values.reshape(3, 2))
    assert run["s"].tolist() == [["é"]] * 3


def test_run_warmup_names_the_file_when_its_size_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup" / "x").write_bytes(b"\0" * 20)
    with pytest.raises(ConfigError, match=r"'x': x has 20 bytes, shape \[3, 2\] of FP32 needs 24"):
        warm_up(warmup_input("x", kind="file", file="x"), folder=tmp_path)


@pytest.mark.parametrize("content", [b"\2\0\0\0a", b"\1\0\0\0\xff" * 3])
def test_run_warmup_names_the_input_when_its_text_is_damaged(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup" / "s").write_bytes(content)
    text = warmup_input("s", Datatype.BYTES, kind="file", file="s", dims=(1,))
    with pytest.raises(ConfigError, match="model_warmup input 's'"):
        warm_up(text, folder=tmp_path)


def test_run_warmup_names_the_file_when_it_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"input 'x': .*No such file"):
        warm_up(warmup_input("x", kind="file", file="gone"), folder=tmp_path)


def test_run_warmup_names_the_input_when_the_model_has_none_of_it() -> None:
    with pytest.raises(ConfigError, match=r"'w': input 'z' is not in the model, which has"):
        warm_up(warmup_input("z"))


def test_run_warmup_says_what_the_engine_said() -> None:
    warmup = Warmup(name="w", batch_size=1, inputs=())
    with pytest.raises(ConfigError, match="'w' failed: broken"):
        run_warmup(FakeEngine(InferenceFailed("broken")), CONFIG, warmup, Path())
