"""The networks that caption a picture."""

import pytest
import torch

from training.caption.config import CaptionModelConfig, DecoderName
from training.caption.model import CaptionModel, pack
from training.data.caption_text import BEGIN, END, UNKNOWN

SYMBOLS = (BEGIN, END, UNKNOWN, "a", "dog", "cat", "runs")


def make_model(decoder: DecoderName) -> CaptionModel:
    torch.manual_seed(1)
    config = CaptionModelConfig(decoder=decoder, embedding=6, width=8, values=5, keys=4, output=7)
    return CaptionModel(config, 10, SYMBOLS, 0.0).eval()


@pytest.mark.parametrize("decoder", ["attention", "plain"])
def test_stepping_scores_as_reading_at_once(decoder: DecoderName) -> None:
    model = make_model(decoder)
    features = torch.rand(3, 10, 2, 2)
    tokens = torch.tensor([[0, 3, 4], [0, 4, 6], [0, 5, 3]])
    lengths = torch.tensor([3, 3, 2])
    packed, shares = model(features, tokens, lengths)
    picture = model.reader(features)
    state, expected = picture.state, []
    for time in range(3):
        logs, state, share = model.next_scores(tokens[:, time], state, picture)
        expected.append(logs)
        if shares is not None and share is not None:
            live = int((lengths > time).sum())
            torch.testing.assert_close(share[:live], shares[:live, time])
            assert shares[live:, time].abs().sum() == 0
    rows = torch.arange(3).expand(3, 3).T
    times = torch.arange(3).expand(3, 3)
    for got, row, time in zip(
        packed, pack(rows, lengths).tolist(), pack(times, lengths).tolist(), strict=True
    ):
        torch.testing.assert_close(torch.log_softmax(got, 0), expected[time][row])
    assert len(packed) == 8
    assert (shares is not None) == (decoder == "attention")


@pytest.mark.parametrize("decoder", ["attention", "plain"])
def test_beginning_and_unknown_are_never_written(decoder: DecoderName) -> None:
    model = make_model(decoder)
    scores, _ = model(torch.rand(2, 10, 2, 2), torch.tensor([[0], [0]]), torch.tensor([1, 1]))
    probabilities = torch.softmax(scores, 1)
    assert probabilities[:, [0, 2]].max() == 0


def test_attention_is_a_distribution_over_places() -> None:
    tokens, lengths = torch.tensor([[0, 3], [0, 4]]), torch.tensor([2, 2])
    _, shares = make_model("attention")(torch.rand(2, 10, 3, 2), tokens, lengths)
    assert shares.shape == (2, 2, 6)
    torch.testing.assert_close(shares.sum(2), torch.ones(2, 2))
    assert shares.min() >= 0


@torch.inference_mode()
def test_a_place_that_stands_out_can_draw_the_attention() -> None:
    model = make_model("attention")
    features = torch.zeros(1, 10, 1, 3)
    features[..., 1] = 1.0
    _, shares = model(features, torch.tensor([[0]]), torch.tensor([1]))
    assert shares[0, 0, 0] == pytest.approx(shares[0, 0, 2].item())
    assert shares[0, 0, 0] != pytest.approx(shares[0, 0, 1].item(), abs=1e-6)


def test_what_products_multiply_lies_within_one() -> None:
    model = make_model("attention")
    picture = model.reader(torch.rand(2, 10, 2, 2) * 100)
    assert picture.values is not None
    assert picture.values.abs().max() <= 1
    assert picture.state.hidden.abs().max() <= 1
    read, state, _ = model.decoder.step(
        model.decoder.embed(torch.tensor([3, 4])), picture.state, picture
    )
    assert read.abs().max() <= 1
    assert state.hidden.abs().max() <= 1


def test_a_checkpoint_tells_its_vocabulary() -> None:
    stored = make_model("plain").state_dict()["vocabulary"]
    assert tuple(bytes(stored.tolist()).decode().split("\n")) == SYMBOLS
