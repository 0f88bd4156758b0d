"""The grammars: what each sentence claims, checked by reading its words anew."""

import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from quartet.image_generation import ImageGenerationTask
from quartet.prompts import prompt_words
from training.dcgan.pictures import face_attributes
from training.dcgan.prompts import AGE_GROUPS, Grammar, Sentence, digit_grammar, face_grammar

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
AGES: dict[str, Callable[[int], bool]] = {
    "a person": lambda age: True,
    "a baby": lambda age: age < 3,
    "a child": lambda age: 3 <= age < 13,
    "an adult": lambda age: age >= 20,
    "a young person": lambda age: 13 <= age < 35,
    "a middle-aged person": lambda age: 35 <= age < 55,
    "an old person": lambda age: age >= 55,
    "a man": lambda age: age >= 20,
    "a boy": lambda age: 3 <= age < 20,
    "a baby boy": lambda age: age < 3,
    "a teenage boy": lambda age: 13 <= age < 20,
    "a young man": lambda age: 20 <= age < 35,
    "a middle-aged man": lambda age: 35 <= age < 55,
    "an old man": lambda age: age >= 55,
}
"""What the sentences of one gender, and those of both, say of the age in years."""
GRAMMARS = pytest.mark.parametrize("make", [digit_grammar, face_grammar])
DIGITS, FACES = digit_grammar(), face_grammar()


def digit_fits(text: str, digit: int, weight: int, slant: int) -> bool:
    """Whether the words of ``text`` hold of a digit."""
    forms = {
        "thin": weight == 0,
        "thick": weight == 2,
        "upright": slant == 0,
        "slanted": slant == 2,
    }
    return all(
        forms.get(word, word in {"a", "an", "digit", NAMES[digit], str(digit)})
        for word in text.split()
    )


def face_fits(text: str, age: int, female: bool) -> bool:
    """Whether the words of ``text`` hold of a face."""
    words = text.split()
    if {"woman", "girl"} & set(words) and not female:
        return False
    if {"man", "boy"} & set(words) and female:
        return False
    return AGES[text.replace("woman", "man").replace("girl", "boy")](age)


@pytest.mark.parametrize("digit", range(10))
def test_a_sentence_is_true_of_the_digits_that_its_words_describe(digit: int) -> None:
    for weight, slant in itertools.product(range(3), range(3)):
        truth = DIGITS.is_true(torch.tensor([[digit, weight, slant]]))[0].tolist()
        assert truth == [digit_fits(s.text, digit, weight, slant) for s in DIGITS.sentences]


@given(st.integers(1, 116), st.booleans())
@settings(deadline=None, max_examples=50)
def test_a_sentence_is_true_of_the_faces_that_its_words_describe(age: int, female: bool) -> None:
    attributes = face_attributes(torch.tensor([age]), torch.tensor([female]))
    truth = FACES.is_true(attributes)[0].tolist()
    assert truth == [face_fits(s.text, age, female) for s in FACES.sentences]


@given(st.lists(st.tuples(*(st.integers(0, n - 1) for n in (10, 3, 3))), max_size=5))
@settings(deadline=None, max_examples=50)
def test_the_truth_of_a_picture_does_not_depend_on_the_others(
    rows: list[tuple[int, int, int]],
) -> None:
    together = DIGITS.is_true(torch.tensor(rows, dtype=torch.int64).view(-1, 3))
    assert together.shape == (len(rows), len(DIGITS.sentences))
    for row, truth in zip(rows, together, strict=True):
        assert torch.equal(truth, DIGITS.is_true(torch.tensor([row]))[0])


@pytest.mark.parametrize(
    ("grammar", "words", "sentences", "length"), [(DIGITS, 27, 189, 4), (FACES, 14, 21, 3)]
)
def test_a_grammar_has_its_size(grammar: Grammar, words: int, sentences: int, length: int) -> None:
    assert grammar.vocabulary[0] == ""
    assert len(set(grammar.vocabulary)) == len(grammar.vocabulary) == words + 1
    assert len({s.text for s in grammar.sentences}) == len(grammar.sentences) == sentences
    assert grammar.length == length
    assert grammar.tokens.shape == (sentences, length)


@GRAMMARS
def test_tokens_are_the_words_of_the_sentences(make: Callable[[], Grammar]) -> None:
    grammar = make()
    for sentence, tokens in zip(grammar.sentences, grammar.tokens, strict=True):
        words = [grammar.vocabulary[number] for number in tokens if number]
        assert " ".join(words) == sentence.text
        assert torch.equal(grammar.encode(sentence.text.upper() + "."), tokens)


@GRAMMARS
def test_articles_suit_the_sound_of_the_next_word(make: Callable[[], Grammar]) -> None:
    vowels = {"upright", "eight", "8", "old", "adult"}
    for sentence in make().sentences:
        article, following = sentence.text.split()[:2]
        assert article == ("an" if following in vowels else "a"), sentence.text


@pytest.mark.parametrize(
    "text",
    ["a thin slanted three", "an upright 8", "an eight", "an 8", "a one", "a 1", "a thick digit"],
)
def test_the_grammar_of_digits_has(text: str) -> None:
    assert text in {sentence.text for sentence in DIGITS.sentences}


@GRAMMARS
def test_serving_reads_prompts_as_training_does(make: Callable[[], Grammar]) -> None:
    grammar = make()
    task = ImageGenerationTask(
        latent_size=1,
        height=1,
        width=1,
        condition="prompt",
        condition_input="words",
        vocabulary=grammar.vocabulary,
        prompt_length=grammar.length,
    )
    read = [task.encode_prompt(sentence.text) for sentence in grammar.sentences]
    assert read == [tuple(row) for row in grammar.tokens.tolist()]


def every_picture(values: tuple[int, ...]) -> Tensor:
    return torch.cartesian_prod(*(torch.arange(n) for n in values))


@pytest.mark.parametrize(
    ("grammar", "values"), [(DIGITS, (10, 3, 3)), (FACES, (2, len(AGE_GROUPS) + 1))]
)
def test_every_picture_has_a_sentence_and_every_sentence_a_picture(
    grammar: Grammar, values: tuple[int, ...]
) -> None:
    truth = grammar.is_true(every_picture(values))
    assert truth.any(1).all()
    assert truth.any(0).all()


def test_sentences_that_are_drawn_are_true() -> None:
    attributes = every_picture((10, 3, 3)).repeat(5, 1)
    drawn = DIGITS.draw(attributes, torch.Generator().manual_seed(1))
    assert DIGITS.is_true(attributes)[torch.arange(len(attributes)), drawn].all()
    assert len(set(drawn.tolist())) > len(DIGITS.sentences) / 2


def test_sentences_are_drawn_as_often_as_they_weigh() -> None:
    grammar = Grammar(
        [Sentence("a", {}, 3.0), Sentence("b", {}), Sentence("c", {0: frozenset([1])})], (2,)
    )
    drawn = grammar.draw(torch.zeros(4000, 1, dtype=torch.int64), torch.Generator().manual_seed(1))
    counts = torch.bincount(drawn, minlength=3).tolist()
    # Four standard deviations of a binomial share of 3/4 in 4,000.
    assert counts[0] == pytest.approx(3000, abs=4 * (4000 * 3 / 16) ** 0.5)
    assert counts[2] == 0


def test_drawing_repeats_with_its_generator() -> None:
    attributes = every_picture((10, 3, 3))
    draws = [DIGITS.draw(attributes, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_a_word_that_no_sentence_has_is_refused() -> None:
    with pytest.raises(KeyError, match="cat"):
        DIGITS.encode("a thin cat")


@pytest.mark.parametrize("sentence", FACES.sentences, ids=lambda s: s.text)
def test_words_are_cut_at_spaces_alone(sentence: Sentence) -> None:
    assert " ".join(prompt_words(sentence.text)) == sentence.text
