from pathlib import Path
from typing import Any

import pytest

from quartet.config import ConfigError, load_config
from quartet.kit.options import KitOptions


def read(*words: str) -> KitOptions:
    return load_config(KitOptions, [*words, "repo", "--out", "o"], prog="quartet kit")


def test_repository_is_positional() -> None:
    options = read("--requests-per-second", "50")
    assert (options.model_repo, options.out) == (Path("repo"), Path("o"))
    assert options.requests_per_second == 50


def test_mix_and_objectives_are_given_by_model() -> None:
    options = read("--mix", "a=3", "--mix", "b=1", "--latency-objective-ms", "a=20")
    assert dict(options.mix) == {"a": 3.0, "b": 1.0}
    assert dict(options.latency_objective_ms) == {"a": 20.0}


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("--mix", "a=0"), "mix.a: Input should be greater than 0"),
        (("--settings", "GATHER_US=0"), "settings.GATHER_US"),
        (("--settings", "QUARTET_HTTP_PORT=1"), "QUARTET_HTTP_PORT: the kit decides"),
        (("--url", "h", "--measurements", "f"), "url: not together with measurements"),
        (("--scale-to-zero",), "scale_to_zero: needs --scaler keda and --namespace"),
        (("--namespace", "No_Such"), "namespace: String should match"),
        (("--image", "two words"), "image: String should match"),
        (("--image", "a:b:c"), "image: String should match"),
        (("--availability", "1"), "availability: Input should be less than 1"),
    ],
)
def test_options_that_cannot_be_are_refused(words: tuple[str, ...], fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(*words)
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    "image",
    ["quartet", "quartet:1", "reg.example:5000/a/b", "reg/a:1@sha256:" + "0" * 64],
)
def test_images_are_taken_in_every_form(image: str) -> None:
    given: dict[str, Any] = {"model_repo": "r", "out": "o", "image": image}
    assert KitOptions.model_validate(given).image == image
