"""Text written in PyTorch: random numbers, rule of drawing, prompts."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from quartet.philox import uniforms
from training.text.config import TextConfig
from training.text.model import CharModel, build_model
from training.text.samples import SampleRequest, begin_symbol, decode, sample, sample_sheet

SYMBOLS = "\n abcdef"
REQUEST = SampleRequest(temperatures=(1.0, 1.0, 0.5), length=24, seed=5)


@pytest.fixture(params=["rnn", "gru", "lstm", "tcn"])
def model(request: pytest.FixtureRequest) -> CharModel:
    """Random weights, large enough for the text to depend on what was read."""
    values = {"cell": request.param, "width": 12, "embedding": 6, "layers": 2}
    torch.manual_seed(0)
    made = build_model(TextConfig.model_validate({"model": values}), SYMBOLS).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            # The convolutions' outputs have no bound: 4 would drown all symbols but one.
            parameter.mul_(1.5 if request.param == "tcn" else 4.0)
    return made


def test_each_symbol_is_the_first_whose_summed_probability_exceeds_the_uniform_number(
    model: CharModel,
) -> None:
    prompt = "abc"
    written = sample(model, replace(REQUEST, prompt=prompt))
    numbers = uniforms(np.full(3, 5, np.uint64), np.arange(3), np.zeros(3, np.int64), 24)
    for row, temperature in enumerate(REQUEST.temperatures):
        read = [SYMBOLS.index(character) for character in prompt] + written[row].tolist()
        with torch.inference_mode():
            scores, _ = model(torch.tensor([read]), model.initial_state(1))
        sums = torch.softmax(scores[0, 2:-1] / temperature, dim=1).double().cumsum(dim=1)
        expected = [
            int((line > number).nonzero()[0])
            for line, number in zip(sums, numbers[row].tolist(), strict=True)
        ]
        assert written[row].tolist() == expected


def test_texts_of_one_request_differ_when_their_temperature_is_equal(model: CharModel) -> None:
    written = sample(model, REQUEST)
    assert written[0].tolist() != written[1].tolist()


def test_text_is_equal_alone_and_beside_others(model: CharModel) -> None:
    alone = sample(model, replace(REQUEST, temperatures=(1.0,)))
    assert alone[0].tolist() == sample(model, REQUEST)[0].tolist()


def test_text_depends_on_the_prompt_and_on_the_seed(model: CharModel) -> None:
    first = sample(model, REQUEST)[0].tolist()
    assert sample(model, replace(REQUEST, seed=6))[0].tolist() != first
    assert sample(model, replace(REQUEST, prompt="fed cab"))[0].tolist() != first


def test_zero_temperature_and_one_candidate_take_the_likeliest(model: CharModel) -> None:
    greedy = sample(model, replace(REQUEST, temperatures=(0.0,)))
    first = sample(model, replace(REQUEST, temperatures=(1.0,), top_k=1))
    nucleus = sample(model, replace(REQUEST, temperatures=(1.0,), top_p=1e-6))
    assert greedy.tolist() == first.tolist() == nucleus.tolist()


def test_prompt_outside_the_vocabulary_is_refused(model: CharModel) -> None:
    with pytest.raises(ValueError, match="'x' is not in the vocabulary"):
        sample(model, replace(REQUEST, prompt="ax"))


def test_text_without_a_prompt_begins_after_a_line_end(model: CharModel) -> None:
    assert sample(model, REQUEST).tolist() == sample(model, replace(REQUEST, prompt="\n")).tolist()


@pytest.mark.parametrize(("symbols", "begin"), [("\n a", "\n"), (" a", " "), ("ab", "a")])
def test_begin_symbol_is_the_nearest_to_a_line_end(symbols: str, begin: str) -> None:
    assert begin_symbol(tuple(symbols)) == begin


def test_sheet_shows_the_texts_as_indented_blocks(model: CharModel) -> None:
    sheet = sample_sheet(model, temperatures=(0.5, 1.0), length=30, seed=5)
    request = SampleRequest(temperatures=(0.5, 1.0), length=30, seed=5)
    texts = [decode(model, ids) for ids in sample(model, request)]
    assert [line for line in sheet.split("\n") if line.startswith("Temperature")] == [
        "Temperature 0.5 (seed 5, text 0):",
        "Temperature 1 (seed 5, text 1):",
    ]
    shown = [line.strip() for line in sheet.split("\n") if line.startswith("    ")]
    wanted = [line.strip() for text in texts for line in text.split("\n")]
    assert [line for line in shown if line] == [line for line in wanted if line]
