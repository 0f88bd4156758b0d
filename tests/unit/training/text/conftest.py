"""A made-up text with structure to learn, as a file and as a corpus."""

from pathlib import Path

import numpy as np
import pytest

from training.text.config import TextConfig, TextDataConfig
from training.text.data import Corpus, load_corpus

CHARACTERS = 2000


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,000 characters: random words of a small vocabulary, five letters and a space."""
    random = np.random.default_rng(0)
    text = " ".join(random.choice(["abba", "cede", "dab", "bed", "ace"], CHARACTERS))
    path = tmp_path_factory.mktemp("text") / "words.txt"
    path.write_text(text[:CHARACTERS], encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def corpus(text_file: Path) -> Corpus:
    """The file's three splits: 1,800, 100 and 100 characters."""
    return load_corpus(
        TextConfig(corpus=str(text_file), data=TextDataConfig(batch_size=4, sequence_length=8))
    )
