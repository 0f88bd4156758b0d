"""What is said of pictures beside the noise: true for learning, wrong for the discriminator.

A condition is a number here, of a class or of a sentence of the grammar; ``tensor`` gives what the
networks take.
"""

from abc import ABC, abstractmethod

import torch
from torch import Generator, Tensor

from quartet.config import ConfigError
from training.dcgan.config import DcganConfig
from training.dcgan.pictures import LabelledPictures, PictureSet
from training.dcgan.prompts import Grammar


class Conditions(ABC):
    """How one kind of condition is drawn. N pictures."""

    symbols: int
    """Classes or words that the networks tell apart."""

    @abstractmethod
    def draw(self, split: LabelledPictures, rows: Tensor, generator: Generator) -> Tensor:
        """A true condition of each of ``rows`` of ``split``, int64 [N]."""

    @abstractmethod
    def draw_wrong(
        self, split: LabelledPictures, rows: Tensor, said: Tensor, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """A condition for each row, int64 [N], and whether it is false there, bool [N]."""

    @abstractmethod
    def tensor(self, conditions: Tensor) -> Tensor:
        """What the networks take: class numbers int64 [N], or word numbers int64 [N, T]."""

    @abstractmethod
    def spread(self, count: int, columns: int) -> Tensor:
        """Conditions int64 [count] for a sheet of samples, one a column where they suffice."""


class ClassConditions(Conditions):
    """Classes by number."""

    def __init__(self, classes: int) -> None:
        self.symbols = classes

    def draw(self, split: LabelledPictures, rows: Tensor, generator: Generator) -> Tensor:
        """The class of each row."""
        return split.classes[rows]

    def draw_wrong(
        self, split: LabelledPictures, rows: Tensor, said: Tensor, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """Any other class, all alike."""
        away = torch.randint(1, self.symbols, said.shape, generator=generator)
        return (said + away) % self.symbols, torch.ones_like(said, dtype=torch.bool)

    def tensor(self, conditions: Tensor) -> Tensor:
        """The numbers themselves."""
        return conditions

    def spread(self, count: int, columns: int) -> Tensor:
        """The first classes, one a column."""
        return torch.arange(count) % columns % self.symbols


class PromptConditions(Conditions):
    """Sentences of a grammar by number."""

    def __init__(self, grammar: Grammar) -> None:
        self.symbols = len(grammar.vocabulary)
        self._grammar = grammar

    def draw(self, split: LabelledPictures, rows: Tensor, generator: Generator) -> Tensor:
        """A sentence that is true of each row."""
        return self._grammar.draw(split.attributes[rows], generator)

    def draw_wrong(
        self, split: LabelledPictures, rows: Tensor, said: Tensor, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """The sentence of another row, which may be true of this one too."""
        other = said[torch.randperm(len(said), generator=generator)]
        true = self._grammar.is_true(split.attributes[rows])
        return other, ~true[torch.arange(len(rows)), other]

    def tensor(self, conditions: Tensor) -> Tensor:
        """Their words."""
        return self._grammar.tokens[conditions]

    def spread(self, count: int, columns: int) -> Tensor:
        """Sentences at equal distances in the grammar, one a column."""
        places = torch.arange(count) % columns
        return places * (len(self._grammar.sentences) - 1) // max(1, columns - 1)


def make_conditions(config: DcganConfig, data: PictureSet) -> Conditions | None:
    """The conditions of ``config``; None where there is noise alone.

    Raises ConfigError where the data have no such labels.
    """
    if config.model.condition == "none":
        return None
    if config.model.condition == "class":
        if len(data.classes) < 2:
            raise ConfigError(f"model.condition: {config.dataset} has no classes, such as folders")
        return ClassConditions(len(data.classes))
    if data.grammar is None:
        raise ConfigError(f"model.condition: there are no prompts for {config.dataset}")
    return PromptConditions(data.grammar)
