"""Streams of a text: what a step reads, what is carried, and the loss over a whole split."""

import pytest
import torch
from torch.nn import functional

from training.text.config import TextModelConfig
from training.text.model import CharModel
from training.text.streams import CarriedState, StreamPlan, cut_streams, epoch_start, stream_loss

ALL = slice(None)


def make_model() -> CharModel:
    torch.manual_seed(0)
    return CharModel(TextModelConfig(layers=1, width=5, embedding=3), tuple("abcd"), 0.0).eval()


def test_steps_of_an_epoch_follow_each_other_in_every_stream() -> None:
    text, plan = torch.arange(100), StreamPlan(characters=100, streams=3, length=4)
    batches = [plan.batch(text, 90, i, ALL) for i in range(plan.steps_per_epoch)]
    inputs = torch.cat([inputs for inputs, _ in batches], dim=1)
    targets = torch.cat([targets for _, targets in batches], dim=1)
    assert plan.steps_per_epoch == 8
    for row, begin in enumerate((90, 123, 156)):
        assert inputs[row].tolist() == [i % 100 for i in range(begin, begin + 32)]
        assert targets[row].tolist() == [i % 100 for i in range(begin + 1, begin + 33)]


def test_an_epoch_reads_no_character_twice() -> None:
    text, plan = torch.arange(50), StreamPlan(characters=50, streams=5, length=5)
    inputs = torch.cat([plan.batch(text, 7, i, ALL)[0].flatten() for i in range(2)])
    assert sorted(inputs.tolist()) == list(range(50))


def test_rows_of_a_process_are_those_of_the_joint_batch() -> None:
    text, plan = torch.arange(60), StreamPlan(characters=60, streams=4, length=3)
    joint = plan.batch(text, 11, 2, ALL)[0]
    assert torch.equal(plan.batch(text, 11, 2, slice(2, 4))[0], joint[2:])


def test_epochs_begin_at_places_that_depend_on_seed_and_epoch_alone() -> None:
    starts = [epoch_start(1, epoch, 10**6) for epoch in range(20)]
    assert starts == [epoch_start(1, epoch, 10**6) for epoch in range(20)]
    assert len(set(starts)) == 20
    assert epoch_start(2, 0, 10**6) != starts[0]


def test_cut_streams_predicts_every_character_but_the_first_once() -> None:
    ids = torch.arange(24, dtype=torch.uint8)
    inputs, targets = cut_streams(ids, 5)
    assert inputs.shape == targets.shape == (5, 5)
    wanted = targets != -100
    assert targets[wanted].tolist() == list(range(1, 24))
    assert inputs[wanted].tolist() == list(range(23))


@pytest.mark.parametrize("characters", [2, 3, 6, 17])
def test_cut_streams_takes_fewer_streams_of_a_short_text(characters: int) -> None:
    _, targets = cut_streams(torch.arange(characters), 16)
    assert targets[targets != -100].tolist() == list(range(1, characters))
    assert (targets != -100).any(dim=1).all()


def test_cut_streams_refuses_a_text_of_one_character() -> None:
    with pytest.raises(ValueError, match="at least two characters, got 1"):
        cut_streams(torch.zeros(1), 4)


@pytest.mark.parametrize("piece", [1, 7, 100])
def test_stream_loss_of_one_stream_is_that_of_one_pass(piece: int) -> None:
    model, ids = make_model(), torch.randint(4, (30,), generator=torch.manual_seed(1))
    with torch.inference_mode():
        logits, _ = model(ids[None, :-1], model.initial_state(1))
    expected = functional.cross_entropy(logits[0], ids[1:]).item()
    # float32 logits of passes of other lengths
    assert stream_loss(model, ids, 1, piece) == pytest.approx(expected, rel=1e-6)


def test_stream_loss_weighs_every_character_equally_in_uneven_streams() -> None:
    model, ids = make_model(), torch.randint(4, (24,), generator=torch.manual_seed(1))
    sums = 0.0
    for begin in range(0, 23, 8):  # 23 predictions in three streams: 8, 8 and 7
        part = ids[begin : begin + 9]
        sums += stream_loss(model, part, 1) * (len(part) - 1)
    assert stream_loss(model, ids, 3) == pytest.approx(sums / 23, rel=1e-6)  # float32 logits


def test_carried_state_joins_the_rows_of_all_processes() -> None:
    model = make_model()
    carried = CarriedState(model, 4, "00" * 32)
    state = tuple(torch.full((2, 1, 5), value) for value in (1.0, 2.0))
    others = torch.zeros(4, 1, 5)
    others[2:] = 7.0
    carried.keep(state, slice(0, 2), lambda rows: rows + others)
    hidden, cell = carried.read(ALL)
    assert hidden[:, 0, 0].tolist() == [1.0, 1.0, 7.0, 7.0]
    assert cell[:, 0, 0].tolist() == [2.0, 2.0, 7.0, 7.0]
    carried.reset()
    assert not any(part.any() for part in carried.read(ALL))


def test_carried_state_refuses_that_of_another_text() -> None:
    model = make_model()
    state = CarriedState(model, 2, "ab" * 32).state_dict()
    CarriedState(model, 2, "ab" * 32).load_state_dict(state)
    with pytest.raises(RuntimeError, match=f"trained on a text of SHA-256 {'ab' * 32}, this one"):
        CarriedState(model, 2, "cd" * 32).load_state_dict(state)
