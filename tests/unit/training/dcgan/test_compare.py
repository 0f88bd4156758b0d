"""The comparison of stabilisers, without training."""

from pathlib import Path
from typing import Any

import pytest

from quartet.config import ConfigError
from training.dcgan.compare import OPTIONS, Comparison, compare, table
from training.dcgan.config import DcganConfig
from training.trainer import DivergedError


def figures(score: float) -> dict[str, Any]:
    sides = {"samples": 1.5, "floor": 0.25}
    return {
        "count": 16,
        "scorer": {"model": "mnist", "sha256": "ab" * 32},
        "inception_score": {"samples": score, "real": 9.8},
        **dict.fromkeys(("frechet_distance", "kernel_distance", "precision", "recall"), sides),
    }


def comparison(folder: Path, epochs: int = 2) -> Comparison:
    return Comparison(folder, Path("data"), epochs, 1)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the options that were trained."""
    names: list[str] = []

    def train(self: Comparison, name: str) -> dict[str, Any]:
        names.append(name)
        if name == "hinge":
            raise DivergedError("loss is nan")
        return figures(8.0 + len(names))

    monkeypatch.setattr(Comparison, "figures", train)
    return names


@pytest.mark.parametrize("name", OPTIONS)
def test_each_option_is_a_configuration_that_differs_from_the_recipe(
    tmp_path: Path, name: str
) -> None:
    config, recipe = (comparison(tmp_path).config(OPTIONS[key]) for key in (name, "recipe"))
    assert isinstance(config, DcganConfig)
    assert config.dataset == "mnist"
    assert config.run.epochs == 2
    assert (config == recipe) == (name == "recipe")


def test_a_comparison_goes_on_where_it_was_interrupted(tmp_path: Path, measured: list[str]) -> None:
    compare(comparison(tmp_path), ["recipe"])
    results = compare(comparison(tmp_path), ["recipe", "hinge", "augment"])
    assert measured == ["recipe", "hinge", "augment"]
    assert list(results["options"]) == measured
    assert compare(comparison(tmp_path), list(results["options"])) == results
    assert measured == ["recipe", "hinge", "augment"]


def test_results_of_other_settings_are_not_mixed(tmp_path: Path, measured: list[str]) -> None:
    compare(comparison(tmp_path), ["recipe"])
    with pytest.raises(ConfigError, match="of 2 epochs and seed 1"):
        compare(comparison(tmp_path, epochs=3), ["recipe"])


def test_the_table_has_a_row_for_each_run_one_for_the_floor_and_the_scorer(
    tmp_path: Path, measured: list[str]
) -> None:
    text = table(compare(comparison(tmp_path), ["recipe", "hinge"]))
    assert "| as it is | 9.00 | 1.5 | 1.5 | 1.500 | 1.500 |" in text
    assert "| hinge | the loss ran away |" in text
    assert "| real against real | 9.80 | 0.25 | 0.25 | 0.250 | 0.250 |" in text
    assert "ab" * 32 in text
