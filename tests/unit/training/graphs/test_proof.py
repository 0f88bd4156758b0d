"""What the exporter refuses to publish."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from quartet.generation import LOG_PROBABILITIES, TOKENS, UNIFORM
from tests.text_models import predict_with, random_weights
from training.export.errors import ExportError
from training.export.parity import FLOAT32
from training.export.predict import Arrays, Predict
from training.graphs.goldens import ROWS, GeneratorInputs, draw_inputs
from training.graphs.proof import Pair, check_graphs, make_goldens
from training.text.config import TextModelConfig
from training.text.conversion import weights_of
from training.text.graphs.build import build_graphs
from training.text.graphs.weights import RecurrentWeights
from training.text.model import CharModel
from training.text.torch_reference import TorchReference

SYMBOLS = 20


@pytest.fixture(scope="module")
def model() -> CharModel:
    torch.set_num_threads(1)
    torch.manual_seed(5)
    config = TextModelConfig(cell="lstm", layers=2, width=12, embedding=6)
    model = CharModel(config, [chr(48 + i) for i in range(SYMBOLS)], dropout=0.0).eval()
    with torch.no_grad():
        model.head.weight *= 8
    return model


@pytest.fixture(scope="module")
def inputs(model: CharModel) -> GeneratorInputs:
    reference = TorchReference(model)
    return draw_inputs(reference.step, reference.zeros(ROWS), SYMBOLS, repetition=True)


def reference_of(model: CharModel) -> Pair:
    reference = TorchReference(model)
    return Pair(reference.decode, reference.prefill)


def graphs_of(weights: RecurrentWeights) -> Pair:
    graphs = build_graphs(weights, "float32")
    return Pair(predict_with(graphs.decode), predict_with(graphs.prefill)).without_ranking()


def lstm_weights(model: CharModel) -> RecurrentWeights:
    weights = weights_of(model)
    assert isinstance(weights, RecurrentWeights)
    return weights


def test_sound_graphs_pass(model: CharModel, inputs: GeneratorInputs) -> None:
    reports = check_graphs(
        graphs_of(lstm_weights(model)), reference_of(model), inputs, FLOAT32, "PyTorch"
    )
    assert set(reports) == {"model.onnx", "prefill.onnx"}
    assert all(report.max_abs_batch_difference == 0.0 for report in reports.values())


@pytest.mark.parametrize("part", ["input", "recurrent", "recurrent_bias"])
def test_one_wrong_weight_of_an_upper_layer_is_found(
    model: CharModel, inputs: GeneratorInputs, part: str
) -> None:
    weights = lstm_weights(model)
    spoilt = getattr(weights.layers[1], part).copy()
    spoilt.flat[3] += 0.05
    layers = (weights.layers[0], replace(weights.layers[1], **{part: spoilt}))
    candidate = graphs_of(replace(weights, layers=layers))
    with pytest.raises(ExportError, match="against PyTorch"):
        check_graphs(candidate, reference_of(model), inputs, FLOAT32, "PyTorch")


def test_another_symbol_is_found(model: CharModel, inputs: GeneratorInputs) -> None:
    sound = graphs_of(lstm_weights(model))

    def decode(feed: Arrays) -> Arrays:
        outputs = dict(sound.decode(feed))
        outputs[TOKENS] = (np.asarray(outputs[TOKENS], np.int64) + 1) % SYMBOLS
        return outputs

    with pytest.raises(ExportError, match="output 'tokens' differs"):
        check_graphs(Pair(decode, sound.prefill), reference_of(model), inputs, FLOAT32, "PyTorch")


def with_company(predict: Predict) -> Predict:
    """A graph whose rows depend, by less than any tolerance, on how many there are."""

    def run(feed: Arrays) -> Arrays:
        outputs = dict(predict(feed))
        logs = np.asarray(outputs[LOG_PROBABILITIES], np.float32)
        outputs[LOG_PROBABILITIES] = logs + np.float32(1e-6 * len(logs))
        return outputs

    return run


def test_rows_that_depend_on_their_company_are_found(
    model: CharModel, inputs: GeneratorInputs
) -> None:
    sound = graphs_of(lstm_weights(model))
    for pair in (
        Pair(with_company(sound.decode), sound.prefill),
        Pair(sound.decode, with_company(sound.prefill)),
    ):
        with pytest.raises(ExportError, match="row 0 alone, against batch"):
            check_graphs(pair, reference_of(model), inputs, FLOAT32, "PyTorch")


def test_steps_that_depend_on_how_they_are_divided_are_found(
    model: CharModel, inputs: GeneratorInputs
) -> None:
    sound = graphs_of(lstm_weights(model))

    def decode(feed: Arrays) -> Arrays:
        outputs = dict(sound.decode(feed))
        steps = np.asarray(feed[UNIFORM]).shape[1]
        logs = np.asarray(outputs[LOG_PROBABILITIES], np.float32)
        outputs[LOG_PROBABILITIES] = logs + np.float32(1e-6 * steps)
        return outputs

    with pytest.raises(ExportError, match="steps divided as"):
        check_graphs(Pair(decode, sound.prefill), reference_of(model), inputs, FLOAT32, "PyTorch")


def test_goldens_are_those_of_the_reference(model: CharModel, inputs: GeneratorInputs) -> None:
    candidate, reference = graphs_of(lstm_weights(model)), reference_of(model)
    goldens = make_goldens(candidate, reference, inputs, "PyTorch")
    golden = goldens["golden.npz"]
    np.testing.assert_array_equal(golden.outputs["tokens"], inputs.tokens)
    assert "top_tokens" not in golden.outputs
    assert set(goldens["prefill.golden.npz"].outputs) == {
        "log_probabilities",
        "next_hidden",
        "next_cell",
        "next_counts",
    }
    # The tolerance admits no other symbol.
    assert golden.atol + golden.rtol * SYMBOLS < 1


def test_weights_of_all_layers_differ() -> None:
    """The random models of the tests would hide a layer that takes another's weights."""
    weights = random_weights("lstm", 2, 8, SYMBOLS, seed=0)
    assert isinstance(weights, RecurrentWeights)
    assert not np.array_equal(weights.layers[0].recurrent, weights.layers[1].recurrent)
