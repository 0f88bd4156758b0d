"""Texts: split by position, vocabulary, and what is wrong with a file."""

import hashlib
import io
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch

from training.data.idx import DataError
from training.text.config import TextConfig, TextDataConfig
from training.text.data import KNOWN, Corpus, encode, load_corpus

SMALL = TextDataConfig(batch_size=2, sequence_length=4)


def write(folder: Path, content: str | bytes) -> str:
    path = folder / "some.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def load(folder: Path, content: str | bytes, *, min_count: int = 1) -> Corpus:
    data = SMALL.model_copy(update={"min_count": min_count})
    return load_corpus(TextConfig(corpus=write(folder, content), data=data))


def decoded(corpus: Corpus, split: torch.Tensor) -> str:
    return "".join(corpus.symbols[i] for i in split.tolist())


def test_splits_are_the_text_in_order_without_overlap(corpus: Corpus, text_file: Path) -> None:
    text = text_file.read_text(encoding="utf-8")
    assert decoded(corpus, corpus.train) == text[:1800]
    assert decoded(corpus, corpus.validation) == text[1800:1900]
    assert decoded(corpus, corpus.test) == text[1900:]
    assert decoded(corpus, corpus.held_out) == text[1800:]


def test_corpus_names_the_file_and_its_checksum(corpus: Corpus, text_file: Path) -> None:
    assert corpus.name == "words"
    assert corpus.checksum == hashlib.sha256(text_file.read_bytes()).hexdigest()


def test_vocabulary_is_sorted_and_of_the_training_split_alone(tmp_path: Path) -> None:
    corpus = load(tmp_path, "cab" * 15 + "xaxba")  # 45 of 50 characters train
    assert corpus.symbols == ("a", "b", "c", "\ufffd")
    assert decoded(corpus, corpus.held_out) == "\ufffda\ufffdba"


def test_vocabulary_has_no_replacement_character_where_none_is_needed(tmp_path: Path) -> None:
    assert load(tmp_path, "cab" * 20).symbols == ("a", "b", "c")


def test_rare_characters_become_the_replacement_character(tmp_path: Path) -> None:
    corpus = load(tmp_path, "caz" + "cab" * 19, min_count=2)
    assert corpus.symbols == ("a", "b", "c", "\ufffd")
    assert decoded(corpus, corpus.train).startswith("ca\ufffdcab")


def test_characters_beyond_ascii_and_line_ends_stay_as_they_are(tmp_path: Path) -> None:
    text = "ä€😀\r\n" * 20
    corpus = load(tmp_path, "\ufeff" + text)
    assert corpus.symbols == ("\n", "\r", "ä", "€", "😀")
    assert decoded(corpus, torch.cat((corpus.train, corpus.held_out))) == text


def test_indices_take_more_bytes_for_a_larger_vocabulary(tmp_path: Path) -> None:
    assert load(tmp_path, "ab" * 20).train.dtype == torch.uint8
    wide = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))
    corpus = load(tmp_path, wide * 2)
    assert corpus.train.dtype == torch.int16
    assert decoded(corpus, corpus.train) == (wide * 2)[:540]


def test_encode_refuses_a_stranger_without_a_replacement_character() -> None:
    vocabulary = np.array([ord("a"), ord("c")], np.uint32)
    with pytest.raises(ValueError, match="'b' is not in the vocabulary"):
        encode(np.array([ord("b")], np.uint32), vocabulary)


def test_load_corpus_says_where_the_text_is_not_utf8(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"some\.txt: not UTF-8: byte 0xff at offset 7: "):
        load(tmp_path, b"a" * 7 + b"\xff" + b"a" * 99)


def test_load_corpus_says_what_a_missing_corpus_could_be(tmp_path: Path) -> None:
    config = TextConfig(corpus="shakespear", data_dir=tmp_path)
    with pytest.raises(DataError, match=r"shakespear: no such file; .* one of shakespeare, obama"):
        load_corpus(config)


def test_a_file_is_also_found_from_the_folder_of_data_sets(tmp_path: Path) -> None:
    write(tmp_path, "cab" * 20)
    config = TextConfig(corpus="some.txt", data_dir=tmp_path, data=SMALL)
    assert load_corpus(config).name == "some"


def test_load_corpus_refuses_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        load_corpus(TextConfig(corpus=str(tmp_path)))


@pytest.mark.parametrize("length", [0, 8, 19])
def test_load_corpus_refuses_a_text_too_short_to_split(tmp_path: Path, length: int) -> None:
    with pytest.raises(DataError, match=rf"too short: its {length} characters leave"):
        load(tmp_path, "a" * length)


def test_load_corpus_refuses_a_text_of_one_character_over_and_over(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"some\.txt: has no character but 'a'"):
        load(tmp_path, "a" * 60)


def test_load_corpus_refuses_a_text_shorter_than_one_batch(tmp_path: Path) -> None:
    data = TextDataConfig(batch_size=3, sequence_length=12)
    config = TextConfig(corpus=write(tmp_path, "ab" * 20), data=data)
    with pytest.raises(DataError, match=r"sequence_length = 36 for training"):
        load_corpus(config)


def test_named_corpus_is_refused_with_another_checksum(tmp_path: Path) -> None:
    path = tmp_path / KNOWN["obama"].file
    path.parent.mkdir()
    path.write_text("yes we can. " * 20, encoding="utf-8")
    config = TextConfig(corpus="obama", data_dir=tmp_path, data=SMALL)
    with pytest.raises(DataError, match="not the known file: expected SHA-256 ca4158b4"):
        load_corpus(config)
    other = config.model_copy(update={"data": SMALL.model_copy(update={"verify": False})})
    assert load_corpus(other).name == "obama"


def test_download_is_refused_with_another_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO(b"no plays"))
    config = TextConfig(corpus="shakespeare", data_dir=tmp_path, download=True)
    with pytest.raises(DataError, match=r"could not be downloaded: .*expected SHA-256 86c4e6aa"):
        load_corpus(config)
    assert not (tmp_path / KNOWN["shakespeare"].file).exists()


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "sizes", "symbols"),
    [("shakespeare", (1_003_854, 55_770, 55_770), 65), ("obama", (967_481, 53_749, 53_749), 82)],
)
def test_named_corpora_have_their_known_sizes(
    data_dir: Path, name: str, sizes: tuple[int, int, int], symbols: int
) -> None:
    corpus = load_corpus(TextConfig(corpus=name, data_dir=data_dir))
    assert (len(corpus.train), len(corpus.validation), len(corpus.test)) == sizes
    assert len(corpus.symbols) == symbols
    assert int(torch.cat((corpus.train, corpus.held_out)).max()) == symbols - 1
