"""Graphs of captioners: against PyTorch, and every row against itself, bit for bit."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from torch import nn

from quartet.beam_search import BeamRules, Hypothesis
from quartet.generation import (
    ALTERNATIVES,
    ATTENTION,
    FREQUENCY_PENALTY,
    LENGTH,
    LOG_PROBABILITIES,
    MAX_TOP,
    MINIMUM,
    PRESENCE_PENALTY,
    REPETITION_PENALTY,
    TEMPERATURE,
    TOKEN,
    TOKENS,
    TOP_K,
    TOP_LOG_PROBABILITIES,
    TOP_P,
    TOP_TOKENS,
    UNIFORM,
)
from training.caption.config import CaptionModelConfig, DecoderName
from training.caption.conversion import rules_of, weights_of
from training.caption.decoding import BeamSettings, beam_rules, caption_pictures
from training.caption.encoder_graph import encoder_graph, grid_of, output_names
from training.caption.graph_search import CaptionGraphs
from training.caption.graphs.build import build_graphs
from training.caption.graphs.network import IMAGE
from training.caption.model import Captioner, CaptionModel, PictureReader
from training.caption.proof import check_encoder, clipped
from training.caption.torch_reference import TorchReference
from training.data.caption_text import BEGIN, END, UNKNOWN
from training.export.engine import onnx_predict, torch_predict
from training.export.graph import to_onnx
from training.export.parity import FLOAT32, Tolerance
from training.export.predict import Arrays, Predict, take_rows
from training.export.quantize import after_convolutions, quantize_int8
from training.graphs.build import GeneratorGraphs
from training.graphs.goldens import draw_inputs
from training.graphs.products import Precision
from training.graphs.proof import BATCH_SIZES, Pair, check_graphs
from training.graphs.stepping import graph_step, next_states
from training.graphs.weights import Floats
from training.vision.drawings import draw_pictures
from training.vision.resnet import ResidualEncoder
from training.vision.views import plain_views

ROWS, STEPS, TIME, SIDE = 48, 12, 7, 48
DECODERS: tuple[DecoderName, ...] = ("attention", "plain")
PRECISIONS: tuple[Precision, ...] = ("float32", "int8")
FORMS: list[tuple[DecoderName, Precision, int, int]] = [
    ("attention", "float32", 24, 61),
    ("attention", "int8", 24, 61),
    ("plain", "float32", 24, 61),
    ("plain", "int8", 24, 61),
    # Odd, and longer than the 256 terms that MLAS sums in one go; so many symbols that greedy rows
    # are drawn without a sort.
    ("attention", "float32", 301, 700),
    ("attention", "int8", 301, 700),
]
"""Decoder, arithmetic, units, symbols."""
Inputs = dict[str, npt.NDArray[Any]]


@cache
def captioner(decoder: DecoderName, width: int = 24, symbols: int = 61) -> Captioner:
    """Of random weights, scaled so that captions of different pictures differ."""
    torch.set_num_threads(1)
    torch.manual_seed(7)
    config = CaptionModelConfig(
        decoder=decoder, embedding=10, width=width, values=14, keys=9, output=21
    )
    encoder = ResidualEncoder((6, 8, 8, 12), 1)
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):  # at 0 the blocks would do nothing
            nn.init.uniform_(module.weight, 0.5, 1.5)
            module.running_mean = torch.randn(module.num_features) * 0.1
    words = tuple(f"w{index}" for index in range(symbols - 3))
    model = CaptionModel(config, encoder.channels, (BEGIN, END, UNKNOWN, *words), 0.0)
    with torch.no_grad():
        model.decoder.scores.weight *= 10
        model.decoder.scores.bias[1] += 0.7
        stress_differences(encoder.eval(), model.reader)
        for parameter in model.decoder.cell.parameters():
            parameter.mul_(2)
        if model.decoder.attention:
            model.decoder.attention.energy.weight *= 6
    return Captioner(encoder, model).eval()


def stress_differences(encoder: nn.Module, reader: PictureReader) -> None:
    """Let each channel count by how it differs from its mean over drawn pictures."""
    pixels = torch.from_numpy(draw_pictures(32, SIDE, seed=8)).permute(0, 3, 1, 2)
    features = encoder(plain_views(pixels, SIDE))
    places, means = features.permute(0, 2, 3, 1).flatten(0, 2), features.mean((2, 3))
    if reader.values is None:
        layers = [(reader.summary, means)]
        for parameter in reader.first.parameters():
            parameter.mul_(4)
    else:
        layers = [(reader.values, places), (reader.hidden, means), (reader.cell, means)]
    for layer, seen in layers:
        layer.weight /= seen.std(0) + 1e-3
        layer.weight *= 1.5
        layer.bias.copy_(-layer.weight @ seen.mean(0))


def pictures(count: int, seed: int = 0) -> Inputs:
    return {IMAGE: draw_pictures(count, SIDE, seed)}


@cache
def encoder_file(decoder: DecoderName, precision: Precision) -> onnx.ModelProto:
    images = torch.from_numpy(draw_pictures(4, SIDE))
    model = to_onnx(encoder_graph(captioner(decoder), images))
    if precision == "float32":
        return model
    return quantize_int8(model, [pictures(16, seed=5)], after_convolutions)


def row_graphs(decoder: DecoderName, precision: Precision, *size: int) -> GeneratorGraphs:
    network = captioner(decoder, *size)
    rows, columns = grid_of(network, SIDE)
    weights = weights_of(network.model, rows * columns)
    return build_graphs(weights, rules_of(network.model.symbols), precision)


def start_of(network: Captioner, rows: int) -> dict[str, Floats]:
    images = torch.from_numpy(draw_pictures(rows, SIDE, seed=3))
    picture = torch_predict(encoder_graph(network, images))({IMAGE: images.numpy()})
    return TorchReference(network.model).start(picture)


@pytest.mark.parametrize("decoder", DECODERS)
def test_graphs_equal_pytorch_and_draw_its_words(decoder: DecoderName) -> None:
    network, graphs = captioner(decoder), row_graphs(decoder, "float32")
    model = network.model
    reference, symbols = TorchReference(model), len(model.symbols)
    start = start_of(network, BATCH_SIZES[-1])
    inputs = draw_inputs(reference.step, start, symbols, rules_of(model.symbols), repetition=True)
    reports = check_graphs(
        clipped(Pair(onnx_predict(graphs.decode), onnx_predict(graphs.prefill))),
        clipped(Pair(reference.decode, reference.prefill)),
        inputs,
        FLOAT32,
        "PyTorch",
    )
    assert "33x16" in reports["model.onnx"].max_abs_difference
    drawn = onnx_predict(graphs.decode)(inputs.decode)[TOKENS]
    np.testing.assert_array_equal(drawn, inputs.tokens)
    assert len(np.unique(inputs.tokens)) > 20
    assert not np.isin(inputs.tokens, [0, 2]).any()


@pytest.mark.parametrize("decoder", DECODERS)
def test_int8_graphs_mean_what_their_operators_say(decoder: DecoderName) -> None:
    network, graphs = captioner(decoder), row_graphs(decoder, "int8")
    symbols = network.model.symbols
    fused, plain = (
        Pair(onnx_predict(graphs.decode, optimize=o), onnx_predict(graphs.prefill, optimize=o))
        for o in (True, False)
    )
    start = start_of(network, BATCH_SIZES[-1])
    inputs = draw_inputs(graph_step(plain.prefill), start, len(symbols), rules_of(symbols))
    # Integer sums are exact; what is left are float functions in one or two operators.
    tolerance = Tolerance(atol=1e-4, rtol=0.0)
    check_graphs(fused.without_ranking(), plain.without_ranking(), inputs, tolerance, "unfused")


@pytest.mark.parametrize("decoder", DECODERS)
def test_int8_scores_are_near_those_of_pytorch(decoder: DecoderName) -> None:
    network = captioner(decoder)
    model = network.model
    reference = TorchReference(model)
    candidate = onnx_predict(row_graphs(decoder, "int8").prefill)
    start = start_of(network, 8)
    inputs = draw_inputs(reference.step, start, len(model.symbols), rules_of(model.symbols)).prefill
    pairs = (clipped(Pair(run, run)) for run in (candidate, reference.prefill))
    got, wanted = (np.asarray(p.prefill(inputs)[LOG_PROBABILITIES], np.float64) for p in pairs)
    # 7-bit weights: a step of 1/63 of the largest; scores here spread over several nats.
    assert np.abs(got - wanted).max() < 0.5
    assert np.abs(got - wanted).mean() < 0.06


@pytest.mark.parametrize("decoder", DECODERS)
def test_encoder_equals_pytorch_in_any_batch(decoder: DecoderName) -> None:
    images = pictures(33)
    network = captioner(decoder)
    reference = torch_predict(encoder_graph(network, torch.from_numpy(images[IMAGE])))
    model = encoder_file(decoder, "float32")
    report = check_encoder(onnx_predict(model), reference, images, FLOAT32, "PyTorch")
    assert set(report.max_abs_difference) == {"1", "2", "7", "33"}
    assert {value.name for value in model.graph.output} == set(output_names(network))


@pytest.mark.parametrize("decoder", DECODERS)
def test_int8_encoder_is_near_pytorch(decoder: DecoderName) -> None:
    images = pictures(33)
    graph = encoder_graph(captioner(decoder), torch.from_numpy(images[IMAGE]))
    got = onnx_predict(encoder_file(decoder, "int8"))(images)
    for name, wanted in torch_predict(graph)(images).items():
        # 8-bit activations in a dozen layers of narrow random weights.
        difference = np.asarray(got[name], np.float64) - np.asarray(wanted, np.float64)
        assert np.abs(difference).mean() < 0.06, name


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8, 17, 33])
def test_encoder_of_a_picture_has_the_same_bits_in_any_batch(
    decoder: DecoderName, precision: Precision, rows: int
) -> None:
    predict = encoder_predict(decoder, precision)
    images = pictures(33)
    chosen = np.random.default_rng(rows).permutation(33)[:rows]
    assert_same_bits(predict(take_rows(images, chosen)), take_rows(predict(images), chosen))


@cache
def encoder_predict(decoder: DecoderName, precision: Precision) -> Predict:
    return onnx_predict(encoder_file(decoder, precision))


@pytest.mark.parametrize("decoder", DECODERS)
def test_an_encoder_of_other_modules_is_exported_like_the_residual_one(
    decoder: DecoderName,
) -> None:
    torch.manual_seed(2)
    encoder = nn.Sequential(  # the stem of torchvision's networks
        nn.Conv2d(3, 8, 7, 2, padding=3),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, padding=1),
        nn.Conv2d(8, 16, 3, 4, padding=1, groups=2),
        nn.ReLU6(),
    )
    config = CaptionModelConfig(decoder=decoder, embedding=6, width=12, values=7, keys=5, output=9)
    network = Captioner(encoder, CaptionModel(config, 16, (BEGIN, END, UNKNOWN, "a"), 0.0)).eval()
    images = pictures(33)
    graph = encoder_graph(network, torch.from_numpy(images[IMAGE]))
    model = to_onnx(graph)
    check_encoder(onnx_predict(model), torch_predict(graph), images, FLOAT32, "PyTorch")
    int8 = quantize_int8(model, [images], after_convolutions)
    fused, plain = onnx_predict(int8), onnx_predict(int8, optimize=False)
    # Two layers: a few activations that one kernel rounds to the next.
    check_encoder(fused, plain, images, Tolerance(atol=0.02, rtol=0.0), "unfused")
    assert grid_of(network, SIDE) == (3, 3)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("width", [1, 3, 5])
def test_captions_of_the_graphs_are_those_of_pytorch(decoder: DecoderName, width: int) -> None:
    network = captioner(decoder)
    images = draw_pictures(24, SIDE, seed=9)
    settings = BeamSettings(width=width, length_penalty=0.7, max_tokens=11)
    graphs = CaptionGraphs(
        encoder=encoder_predict(decoder, "float32"),
        decode=onnx_predict(row_graphs(decoder, "float32").decode),
        begin=0,
    )
    found = graphs.search(images, beam_rules(settings, network.model.symbols))
    uint8 = torch.from_numpy(images).permute(0, 3, 1, 2)
    wanted = [best[0] for best in caption_pictures(network, uint8, settings)]
    assert_same_captions(found, wanted)
    assert len({one.tokens.tobytes() for one in found}) > 1


def test_captions_are_the_same_however_many_are_searched_at_a_time() -> None:
    graphs = CaptionGraphs(
        encoder=encoder_predict("attention", "int8"),
        decode=onnx_predict(row_graphs("attention", "int8").decode),
        begin=0,
    )
    images, rules = draw_pictures(35, SIDE, seed=4), search_rules()
    together = graphs.search(images, rules)
    alone = [graphs.search(images[row : row + 1], rules)[0] for row in range(35)]
    for one, other in zip(together, alone, strict=True):
        assert one.tokens.tobytes() == other.tokens.tobytes()
        assert one.log_probabilities.tobytes() == other.log_probabilities.tobytes()


def search_rules() -> BeamRules:
    symbols = captioner("attention").model.symbols
    return beam_rules(BeamSettings(max_tokens=9), symbols)


def assert_same_captions(found: Sequence[Hypothesis], wanted: Sequence[Hypothesis]) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert one.tokens.tolist() == other.tokens.tolist()
        # Sums of float32 in another order, over a dozen words.
        np.testing.assert_allclose(one.log_probabilities, other.log_probabilities, atol=1e-4)


@dataclass
class Subject:
    """A model with the runs that the others are compared with."""

    decode: Predict
    prefill: Predict
    plain: Inputs
    """Decode inputs of ``ROWS`` rows that ask for nothing special."""
    special: Inputs
    """The same with every control in use."""
    reading: Inputs

    def without_padding(self, outputs: Arrays, inputs: Inputs) -> Arrays:
        """Scores and attention past a row's length set to 0."""
        kept = dict(outputs)
        for name in kept.keys() & {LOG_PROBABILITIES, ATTENTION}:
            values = np.array(kept[name])
            values[np.arange(values.shape[1]) >= inputs[LENGTH][:, None]] = 0.0
            kept[name] = values
        return kept


@pytest.fixture(scope="module", params=FORMS, ids=lambda form: "-".join(map(str, form)))
def subject(request: pytest.FixtureRequest) -> Subject:
    decoder, precision, *size = request.param
    graphs = row_graphs(decoder, precision, *size)
    random = np.random.default_rng(11)
    symbols = size[1]
    start = start_of(captioner(decoder, *size), ROWS)
    start["counts"] = random.integers(0, 3, start["counts"].shape).astype(np.float32)
    plain: Inputs = {
        TOKEN: random.integers(0, symbols, ROWS),
        **start,
        TEMPERATURE: random.choice([0.5, 0.8, 1.0, 1.3], ROWS).astype(np.float32),
        TOP_K: np.zeros(ROWS, np.int64),
        TOP_P: np.ones(ROWS, np.float32),
        REPETITION_PENALTY: np.ones(ROWS, np.float32),
        PRESENCE_PENALTY: np.zeros(ROWS, np.float32),
        FREQUENCY_PENALTY: np.zeros(ROWS, np.float32),
        MINIMUM: np.zeros(ROWS, np.int64),
        ALTERNATIVES: np.zeros(ROWS, np.int64),
        UNIFORM: (random.integers(0, 2**23, (ROWS, STEPS)) * 2.0**-23).astype(np.float32),
    }
    special: Inputs = {
        **plain,
        TEMPERATURE: random.choice([0.0, 0.7, 1.0], ROWS).astype(np.float32),
        TOP_K: random.choice([0, 1, 5, 100], ROWS),
        TOP_P: random.choice([1.0, 0.9, 0.4], ROWS).astype(np.float32),
        REPETITION_PENALTY: random.choice([1.0, 1.3, 0.8], ROWS).astype(np.float32),
        PRESENCE_PENALTY: random.choice([0.0, 0.6, -0.3], ROWS).astype(np.float32),
        FREQUENCY_PENALTY: random.choice([0.0, 0.2], ROWS).astype(np.float32),
        MINIMUM: random.choice([0, 2, 7, STEPS, 100], ROWS),
        ALTERNATIVES: random.choice([0, 3], ROWS),
    }
    reading: Inputs = {
        TOKENS: random.integers(0, symbols, (ROWS, TIME)),
        LENGTH: random.integers(0, TIME + 1, ROWS),
        **start,
    }
    return Subject(
        onnx_predict(graphs.decode), onnx_predict(graphs.prefill), plain, special, reading
    )


def assert_same_bits(got: Arrays, wanted: Arrays) -> None:
    assert got.keys() == wanted.keys()
    for name in wanted:
        assert got[name].tobytes() == wanted[name].tobytes(), name


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 17, 31, 32, 33, 47])
def test_decode_of_a_row_has_the_same_bits_in_any_batch(subject: Subject, rows: int) -> None:
    for inputs in (subject.plain, subject.special):
        chosen = np.random.default_rng(rows).permutation(ROWS)[:rows]
        got = subject.decode(take_rows(inputs, chosen))
        assert_same_bits(got, take_rows(subject.decode(inputs), chosen))


@pytest.mark.parametrize("rows", [1, 2, 3, 8, 17, 33])
def test_prefill_of_a_row_has_the_same_bits_in_any_batch(subject: Subject, rows: int) -> None:
    chosen = np.random.default_rng(rows).permutation(ROWS)[:rows]
    inputs = take_rows(subject.reading, chosen)
    got = subject.without_padding(subject.prefill(inputs), dict(inputs))
    whole = subject.without_padding(subject.prefill(subject.reading), subject.reading)
    assert_same_bits(got, take_rows(whole, chosen))


def test_decode_of_a_plain_row_has_the_same_bits_beside_special_ones(subject: Subject) -> None:
    even = np.arange(ROWS) % 2 == 0
    mixed = {
        name: np.where(even.reshape(-1, *[1] * (v.ndim - 1)), v, subject.special[name])
        for name, v in subject.plain.items()
    }
    rows = np.flatnonzero(even)
    got = take_rows(subject.decode(mixed), rows)
    assert_same_bits(got, take_rows(subject.decode(subject.plain), rows))


@pytest.mark.parametrize("cut", [(5, 7), (1,) * STEPS, (8, 1, 3)], ids=str)
def test_decode_has_the_same_bits_however_its_steps_are_divided(
    subject: Subject, cut: Sequence[int]
) -> None:
    for inputs in (subject.plain, subject.special):
        now, parts, start = dict(inputs), [], 0
        for steps in cut:
            now[UNIFORM] = np.ascontiguousarray(inputs[UNIFORM][:, start : start + steps])
            now[MINIMUM] = np.maximum(inputs[MINIMUM] - start, 0)
            parts.append(subject.decode(now))
            now[TOKEN] = np.ascontiguousarray(parts[-1][TOKENS][:, -1])
            now.update(next_states(parts[-1]))
            start += steps
        joined = {
            name: last
            if name.startswith("next_")
            else np.concatenate([part[name] for part in parts], axis=1)
            for name, last in parts[-1].items()
        }
        assert_same_bits(joined, subject.decode(inputs))


@pytest.mark.parametrize("cut", [(3, 4), (1,) * TIME], ids=str)
def test_prefill_has_the_same_bits_however_the_words_are_divided(
    subject: Subject, cut: Sequence[int]
) -> None:
    now, parts, start = dict(subject.reading), [], 0
    for count in cut:
        now[TOKENS] = np.ascontiguousarray(subject.reading[TOKENS][:, start : start + count])
        now[LENGTH] = np.clip(subject.reading[LENGTH] - start, 0, count)
        parts.append(subject.prefill(now))
        now.update(next_states(parts[-1]))
        start += count
    joined = {
        name: last
        if name.startswith("next_")
        else np.concatenate([part[name] for part in parts], axis=1)
        for name, last in parts[-1].items()
    }
    whole = subject.prefill(subject.reading)
    assert_same_bits(
        subject.without_padding(joined, subject.reading),
        subject.without_padding(whole, subject.reading),
    )


def test_prefill_and_decode_leave_the_same_bits_after_the_same_words(subject: Subject) -> None:
    decoded = subject.decode(subject.special)
    read = subject.prefill(reread(subject, decoded))
    assert_same_bits(next_states(read), next_states(decoded))
    drawn = np.asarray(decoded[TOKENS], np.int64)
    logs = np.take_along_axis(read[LOG_PROBABILITIES], drawn[..., None], 2)[..., 0]
    assert logs.tobytes() == decoded[LOG_PROBABILITIES].tobytes()
    if ATTENTION in decoded:
        assert read[ATTENTION].tobytes() == decoded[ATTENTION].tobytes()


def test_alternatives_are_the_likeliest_words_whatever_may_be_drawn(subject: Subject) -> None:
    decoded = subject.decode(subject.special)
    logs = np.asarray(subject.prefill(reread(subject, decoded))[LOG_PROBABILITIES], np.float32)
    best = np.argsort(-logs, axis=2, kind="stable")[..., :MAX_TOP]
    wanted = (subject.special[ALTERNATIVES] > 0)[:, None, None]
    np.testing.assert_array_equal(decoded[TOP_TOKENS], np.where(wanted, best, 0))
    np.testing.assert_array_equal(
        decoded[TOP_LOG_PROBABILITIES],
        np.where(wanted, np.take_along_axis(logs, best, 2), np.float32(0)),
    )


def test_captions_end_no_earlier_than_their_minimum_and_hold_no_hidden_symbol(
    subject: Subject,
) -> None:
    likely = np.zeros(len(subject.plain["counts"][0]), np.bool_)
    for inputs in (subject.plain, subject.special):
        tokens = np.asarray(subject.decode(inputs)[TOKENS], np.int64)
        likely |= np.bincount(tokens.ravel(), minlength=len(likely)) > 0
        ended = tokens == 1
        assert not ended[np.arange(STEPS) < inputs[MINIMUM][:, None]].any()
        assert not np.isin(tokens, [0, 2]).any()
    assert likely[1]
    assert likely.sum() > 20


def test_attention_is_a_share_of_each_place_and_depends_on_the_word(subject: Subject) -> None:
    decoded = subject.decode(subject.plain)
    if ATTENTION not in decoded:
        assert "keys" not in subject.plain
        return
    shares = np.asarray(decoded[ATTENTION], np.float64)
    assert shares.shape == (ROWS, STEPS, 9)
    np.testing.assert_allclose(shares.sum(axis=2), 1.0, atol=1e-5)
    assert np.ptp(shares, axis=1).max() > 0.01


def reread(subject: Subject, decoded: Arrays) -> Inputs:
    """What ``special`` fed to the network, as a prompt."""
    tokens = np.concatenate(
        [subject.special[TOKEN][:, None], np.asarray(decoded[TOKENS], np.int64)[:, :-1]], axis=1
    )
    given = {name: subject.special[name] for name in subject.reading.keys() - {TOKENS, LENGTH}}
    return {TOKENS: tokens, LENGTH: np.full(ROWS, STEPS), **given}
