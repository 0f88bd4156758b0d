"""The served form of a scorer of faces, and its card."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.normalisation import settle_normalisation
from training.export.predict import take_rows
from training.faces import card
from training.faces.export import FaceScorer, FacesRun, scorer_graph
from training.faces.model import FaceAttributes, expected_age
from training.vision.config import ResidualConfig
from training.vision.views import plain_views

FIGURES = {
    "count": 200,
    "gender_accuracy": 0.915,
    "gender_accuracy_interval_95": [0.868, 0.946],
    "gender_ece": 0.012,
    "age_mae_years": 5.5,
    "age_bias_years": -0.25,
    "groups": {
        "0 to 2": {
            "count": 20,
            "gender_accuracy": 0.6,
            "age_mae_years": 1.25,
            "age_bias_years": 0.5,
        }
    },
    "blind": {"gender_accuracy": 0.52, "age_mae_years": 15.5},
}


@pytest.fixture
def model() -> FaceAttributes:
    """Random weights, and normalisation that has seen something."""
    torch.manual_seed(1)
    model = FaceAttributes(ResidualConfig(channels=(4, 4, 8, 8), blocks=1), 0.3)
    settle_normalisation(model)
    return model.eval()


def test_scorer_takes_stored_pictures_and_gives_what_the_model_sees(model: FaceAttributes) -> None:
    graph = scorer_graph(model)
    images = torch.from_numpy(take_rows(graph.golden_inputs, np.arange(3))["image"])
    with torch.inference_mode():
        female, age, features = graph.module(images)
        views = plain_views(images.permute(0, 3, 1, 2), 64)
        logits, bins = model(views)
        wanted = model.features(views)
    # The same products in another order, of a network of a few hundred weights a unit.
    torch.testing.assert_close(female, logits.sigmoid(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(age, expected_age(bins), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(features, wanted, rtol=1e-5, atol=1e-5)
    assert features.shape == (3, 8)


def test_scorer_refuses_a_model_that_does_not_end_in_a_linear_layer(model: FaceAttributes) -> None:
    model.classifier.append(nn.Tanh())
    with pytest.raises(TypeError, match="linear layer at the end, got Tanh"):
        FaceScorer(model)


def test_golden_pictures_are_drawn_and_differ(model: FaceAttributes) -> None:
    images = scorer_graph(model).golden_inputs["image"]
    assert images.dtype == np.uint8
    assert images.shape[1:] == (64, 64, 3)
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)


def test_card_states_figures_terms_and_what_it_must_not_be_used_for(model: FaceAttributes) -> None:
    facts, text = card.facts(model), card.section(FIGURES)
    assert "Not to be used on people" in " ".join(facts.limits)
    assert "non-commercial" in facts.terms
    assert "gender as labelled 91.50% (Wilson 95 % interval 86.80% to 94.60%" in text
    assert "| 0 to 2 | 20 | 60.00% | 1.25 | +0.50 |" in text


def test_metric_of_faces_is_better_when_it_is_lower() -> None:
    assert FacesRun.metric.drop(5.0, 5.5) == pytest.approx(0.5)
    assert FacesRun.metric.text(5.456) == "5.46 years"
