"""Golden outputs: stored only if the graph gives them with room to spare."""

from pathlib import Path

import numpy as np
import pytest

from quartet.artifact import load_golden, save_golden
from training.export.errors import ExportError
from training.export.golden import HEADROOM, INT8, make_golden
from training.export.predict import Arrays, Predict

INPUTS = {"x": np.arange(6, dtype=np.uint8).reshape(3, 2)}


def graph(offset: float) -> Predict:
    """Gives the mean of each row plus ``offset``."""

    def predict(inputs: Arrays) -> Arrays:
        mean = np.asarray(inputs["x"], np.float32).mean(axis=1)
        return {"y": mean + np.float32(offset)}

    return predict


def test_make_golden_stores_the_reference_and_survives_the_disk(tmp_path: Path) -> None:
    golden = make_golden(INPUTS, graph(0.0), graph(1e-4), INT8, "reference")
    save_golden(tmp_path / "golden.npz", golden)
    stored = load_golden(tmp_path / "golden.npz")
    np.testing.assert_array_equal(stored.inputs["x"], INPUTS["x"])
    np.testing.assert_array_equal(stored.outputs["y"], np.asarray([0.5, 2.5, 4.5], np.float32))
    assert (stored.atol, stored.rtol, stored.source) == (INT8.atol, INT8.rtol, "reference")


def test_make_golden_refuses_a_graph_close_to_the_tolerance() -> None:
    offset = 1.1 * HEADROOM * INT8.atol
    with pytest.raises(ExportError, match="golden output 'y' of reference is missed by"):
        make_golden(INPUTS, graph(0.0), graph(offset), INT8, "reference")


def test_make_golden_refuses_outputs_that_are_not_finite() -> None:
    with pytest.raises(ExportError, match="not finite"):
        make_golden(INPUTS, graph(np.inf), graph(np.inf), INT8, "reference")
