"""Conditions: true ones for learning, wrong ones for the discriminator."""

import pytest
import torch

from quartet.config import ConfigError
from tests.picture_data import SQUARES, make_pictures
from training.dcgan.conditions import ClassConditions, PromptConditions, make_conditions
from training.dcgan.config import DcganConfig, DcganModelConfig

ROWS = torch.arange(24)


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def config(condition: str) -> DcganConfig:
    return DcganConfig(model=DcganModelConfig.model_validate({"condition": condition}))


def test_true_classes_are_those_of_the_rows() -> None:
    split = make_pictures().train
    rows = torch.tensor([5, 0, 5])
    assert torch.equal(
        ClassConditions(2).draw(split, rows, generator()), split.classes[torch.tensor([5, 0, 5])]
    )


def test_wrong_classes_are_all_others_and_never_the_true_one() -> None:
    said = torch.arange(10).repeat(200)
    wrong, false = ClassConditions(10).draw_wrong(make_pictures().train, ROWS, said, generator())
    assert false.all()
    assert not (wrong == said).any()
    for number in range(10):
        assert set(wrong[said == number].tolist()) == set(range(10)) - {number}


def test_true_prompts_are_true() -> None:
    split = make_pictures().train
    said = PromptConditions(SQUARES).draw(split, ROWS, generator())
    truth = SQUARES.is_true(split.attributes[ROWS])
    assert truth[torch.arange(24), said].all()
    assert set(said.tolist()) == {0, 1, 2}


def test_wrong_prompts_are_those_of_other_rows_and_said_to_be_false_where_they_are() -> None:
    split = make_pictures().train
    conditions = PromptConditions(SQUARES)
    said = conditions.draw(split, ROWS, generator())
    wrong, false = conditions.draw_wrong(split, ROWS, said, generator(2))
    assert sorted(wrong.tolist()) == sorted(said.tolist())
    right = split.attributes[ROWS, 0] == 1
    by_words = ((wrong == 1) & right) | ((wrong == 2) & ~right)
    assert torch.equal(false, by_words)
    assert by_words.any()
    assert not by_words.all()


@pytest.mark.parametrize("conditions", [ClassConditions(5), PromptConditions(SQUARES)])
def test_wrong_conditions_repeat_with_their_generator(
    conditions: ClassConditions | PromptConditions,
) -> None:
    split = make_pictures().train
    said = split.classes[ROWS]
    one, two, other = (
        conditions.draw_wrong(split, ROWS, said, generator(seed))[0] for seed in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_networks_take_class_numbers_and_words() -> None:
    numbers = torch.tensor([2, 0])
    assert torch.equal(ClassConditions(3).tensor(numbers), numbers)
    assert torch.equal(PromptConditions(SQUARES).tensor(numbers), SQUARES.tokens[numbers])


def test_a_sheet_has_one_class_a_column() -> None:
    assert ClassConditions(3).spread(8, 4).tolist() == [0, 1, 2, 0, 0, 1, 2, 0]
    assert ClassConditions(10).spread(8, 4).tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


def test_a_sheet_has_one_sentence_a_column_from_the_first_to_the_last() -> None:
    assert PromptConditions(SQUARES).spread(6, 3).tolist() == [0, 1, 2, 0, 1, 2]
    assert PromptConditions(SQUARES).spread(2, 1).tolist() == [0, 0]


def test_conditions_follow_the_configuration() -> None:
    data = make_pictures()
    assert make_conditions(config("none"), data) is None
    classes, prompts = (make_conditions(config(kind), data) for kind in ("class", "prompt"))
    assert isinstance(classes, ClassConditions)
    assert isinstance(prompts, PromptConditions)
    assert (classes.symbols, prompts.symbols) == (2, len(SQUARES.vocabulary))


def test_data_without_classes_or_prompts_are_refused() -> None:
    data = make_pictures(labelled=False)
    with pytest.raises(ConfigError, match=r"model\.condition: utkface has no classes"):
        make_conditions(config("class"), data)
    with pytest.raises(ConfigError, match=r"model\.condition: there are no prompts for utkface"):
        make_conditions(config("prompt"), data)
