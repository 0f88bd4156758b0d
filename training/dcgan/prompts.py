"""Prompts made from labels: which sentences are true of a picture, and which are not.

A grammar is a list of sentences with what each claims. A picture has A attributes, each a number in
[0, V); a claim allows some values of some attributes. So the same list gives true prompts for
training, false ones for the discriminator (Reed et al. 2016, section 4.2), and the check whether a
generated picture shows what it was asked for.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from quartet.prompts import prompt_words


@dataclass(frozen=True, slots=True)
class Sentence:
    """One prompt."""

    text: str
    """What a user writes."""
    allows: Mapping[int, frozenset[int]]
    """Attribute -> the values that it may have; attributes left out may have any."""
    weight: float = 1.0
    """How often it is drawn, against other true ones."""


class Grammar:
    """All prompts of a data set.

    Args:
        sentences: at least one of them true of any picture.
        values: number of values of each attribute.
    """

    def __init__(self, sentences: Sequence[Sentence], values: Sequence[int]) -> None:
        self.sentences = tuple(sentences)
        words = sorted({word for s in sentences for word in prompt_words(s.text)})
        self.vocabulary = ("", *words)
        """Words by number; 0 ends a prompt."""
        self.length = max(len(prompt_words(s.text)) for s in sentences)
        """Words of the longest prompt."""
        self.tokens = torch.stack([self.encode(s.text) for s in sentences])
        """int64 [P, length]."""
        self._weights = torch.tensor([s.weight for s in sentences])
        allowed = torch.ones(len(sentences), len(values), max(values), dtype=torch.bool)
        for row, sentence in enumerate(sentences):
            for attribute, kept in sentence.allows.items():
                allowed[row, attribute] = False
                allowed[row, attribute, sorted(kept)] = True
        self.allowed = allowed
        """bool [P, A, V]: whether the value fits the prompt."""

    def encode(self, text: str) -> Tensor:
        """Word numbers int64 [length] of ``text``. Raises KeyError for an unknown word."""
        places = {word: place for place, word in enumerate(self.vocabulary)}
        numbers = [places[word] for word in prompt_words(text)]
        return torch.tensor(numbers + [0] * (self.length - len(numbers)))

    def is_true(self, attributes: Tensor) -> Tensor:
        """Bool [N, P] of attributes int64 [N, A]: whether each prompt is true of each picture."""
        fits = torch.ones(len(attributes), len(self.sentences), dtype=torch.bool)
        for attribute in range(attributes.shape[1]):
            fits &= self.allowed[:, attribute, :].T[attributes[:, attribute]]
        return fits

    def draw(self, attributes: Tensor, generator: Generator) -> Tensor:
        """The number of a prompt that is true of each of N pictures, int64 [N]."""
        chances = self.is_true(attributes) * self._weights
        return torch.multinomial(chances, 1, generator=generator)[:, 0]


_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def digit_grammar() -> Grammar:
    """Prompts such as "a thin slanted three", "a thick 7", "an upright digit".

    Attributes: the digit; the weight of its line, thin, middle, thick; its slant, upright, middle,
    slanted to the right (``training.dcgan.digit_form``).
    """
    nouns: list[tuple[str, dict[int, frozenset[int]], float]] = [("digit", {}, 1.0)]
    for digit, name in enumerate(_DIGITS):
        nouns += [(name, {0: frozenset([digit])}, 2.0), (str(digit), {0: frozenset([digit])}, 2.0)]
    weights = [("", {}), ("thin", {1: frozenset([0])}), ("thick", {1: frozenset([2])})]
    slants = [("", {}), ("upright", {2: frozenset([0])}), ("slanted", {2: frozenset([2])})]
    sentences = [
        Sentence(_phrase(weight, slant, noun), {**of_weight, **of_slant, **of_noun}, share)
        for noun, of_noun, share in nouns
        for weight, of_weight in weights
        for slant, of_slant in slants
    ]
    return Grammar(sentences, (10, 3, 3))


AGE_GROUPS = (3, 13, 20, 35, 55)
"""Ages, years, at which the group of babies ends, and those of children, teenagers, young and
middle-aged adults; who is older is old."""


def face_grammar() -> Grammar:
    """Prompts such as "a woman", "an old man", "a girl".

    Attributes: gender, 0 male and 1 female; the age's group (``AGE_GROUPS``).
    """
    genders = (("man", "boy", 0), ("woman", "girl", 1))
    sentences = [
        Sentence("a person", {}),
        Sentence("a baby", {1: frozenset([0])}, 2.0),
        Sentence("a child", {1: frozenset([1])}),
        Sentence("an adult", {1: frozenset([3, 4, 5])}, 0.5),
        Sentence("a young person", {1: frozenset([2, 3])}, 0.5),
        Sentence("a middle-aged person", {1: frozenset([4])}, 0.5),
        Sentence("an old person", {1: frozenset([5])}),
    ]
    for adult, minor, gender in genders:
        only = {0: frozenset([gender])}
        sentences += [
            Sentence(f"a {adult}", {**only, 1: frozenset([3, 4, 5])}),
            Sentence(f"a {minor}", {**only, 1: frozenset([1, 2])}, 2.0),
            Sentence(f"a baby {minor}", {**only, 1: frozenset([0])}, 2.0),
            Sentence(f"a teenage {minor}", {**only, 1: frozenset([2])}, 2.0),
            Sentence(f"a young {adult}", {**only, 1: frozenset([3])}, 3.0),
            Sentence(f"a middle-aged {adult}", {**only, 1: frozenset([4])}, 3.0),
            Sentence(f"an old {adult}", {**only, 1: frozenset([5])}, 3.0),
        ]
    return Grammar(sentences, (2, len(AGE_GROUPS) + 1))


def _phrase(*words: str) -> str:
    used: Iterable[str] = [word for word in words if word]
    text = " ".join(used)
    article = "an" if text[0] in "aeiou8" and not text.startswith("one") else "a"
    return f"{article} {text}"
