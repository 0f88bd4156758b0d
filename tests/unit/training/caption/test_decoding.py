"""Free decoding, beside the plainest search."""

import numpy as np
import pytest
import torch

from tests.unit.training.caption.test_model import SYMBOLS, make_model
from training.caption.config import DecoderName
from training.caption.decoding import BeamSettings, caption_features, words_of
from training.caption.model import CaptionModel, WordState

Scores = dict[tuple[int, ...], float]


def all_captions(
    model: CaptionModel, features: torch.Tensor, longest: int
) -> dict[tuple[int, ...], float]:
    """Every caption of at most ``longest`` symbols, with the sum of its log-probabilities."""
    picture = model.reader(features)
    found: Scores = {}
    open_texts: list[tuple[tuple[int, ...], float, WordState, int]] = [((), 0.0, picture.state, 0)]
    while open_texts:
        text, total, state, token = open_texts.pop()
        logs, after, _ = model.next_scores(torch.tensor([token]), state, picture)
        for symbol in (1, 3, 4, 5, 6):
            score = total + logs[0, symbol].item()
            longer = (*text, symbol)
            if symbol == 1 or len(longer) == longest:
                found[longer] = score
            else:
                open_texts.append((longer, score, after, symbol))
    return found


@pytest.mark.parametrize("decoder", ["attention", "plain"])
@torch.inference_mode()
def test_a_wide_search_finds_the_best_of_all_captions(decoder: DecoderName) -> None:
    model = make_model(decoder)
    features = torch.rand(2, 10, 2, 2)
    settings = BeamSettings(width=30, n=1, length_penalty=1.0, min_tokens=0, max_tokens=3)
    found = caption_features(model, features, settings)
    for row in range(2):
        scores = all_captions(model, features[row : row + 1], 3)
        best = max(scores, key=lambda text: scores[text] / len(text))
        assert tuple(found[row][0].tokens.tolist()) == best
        assert found[row][0].log_probability == pytest.approx(scores[best], rel=1e-4)


@torch.inference_mode()
def test_width_one_always_takes_the_likeliest_word() -> None:
    model = make_model("attention")
    features = torch.rand(3, 10, 2, 2)
    found = caption_features(model, features, BeamSettings(width=1, max_tokens=6))
    for row in range(3):
        picture = model.reader(features[row : row + 1])
        state, token = picture.state, 0
        words: list[int] = []
        while len(words) < 6 and token != 1:
            logs, state, _ = model.next_scores(torch.tensor([token]), state, picture)
            if not words:
                logs[0, 1] = -torch.inf  # min_tokens is 1
            token = int(logs[0].argmax())
            words.append(token)
        assert found[row][0].tokens.tolist() == words


def test_pictures_do_not_depend_on_their_neighbours() -> None:
    model = make_model("attention")
    features = torch.rand(5, 10, 2, 2)
    together = caption_features(model, features, BeamSettings(width=3, n=2))
    for row in range(5):
        alone = caption_features(model, features[row : row + 1], BeamSettings(width=3, n=2))[0]
        for one, other in zip(together[row], alone, strict=True):
            assert one.tokens.tolist() == other.tokens.tolist()
            np.testing.assert_allclose(one.log_probability, other.log_probability, rtol=1e-5)
            assert one.attention is not None
            assert one.attention.shape == (len(one.tokens), 4)


def test_words_of_leaves_out_the_end() -> None:
    model = make_model("plain")
    found = caption_features(model, torch.rand(1, 10, 2, 2), BeamSettings())[0][0]
    assert all(word in SYMBOLS[3:] for word in words_of(found, SYMBOLS))
