"""Texts as character indices: the first 90 % train, the next 5 % validate, the last 5 % test.

The split is by position, so that no test character stands between training characters. Shakespeare:
A. Karpathy, "tinyshakespeare", part of char-rnn (2015). Obama: speeches collected by samim,
"obama-rnn" (2015).
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.data.download import download
from training.data.idx import DataError
from training.text.config import TextConfig

TRAIN_SHARE = 0.9
"""Share of the characters before the validation split."""
TEST_START = 0.95
"""Share of the characters before the test split."""
UNKNOWN = 0xFFFD
"""Code point of U+FFFD, which stands for every character outside the vocabulary."""


@dataclass(frozen=True, slots=True)
class _KnownCorpus:
    """A text that has a name of its own."""

    file: str
    """Path below the folder of data sets."""
    sha256: str
    """SHA-256 of the file."""
    urls: tuple[str, ...] = ()
    """Public copies."""


KNOWN = {
    "shakespeare": _KnownCorpus(
        "text/tinyshakespeare.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        (
            "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/"
            "input.txt",
        ),
    ),
    "obama": _KnownCorpus(
        "text/obama_speeches.txt",
        "ca4158b4ffa59ef593a299cacc435d0c5231156813941dda2cce6cb8dfb901d2",
    ),
}
"""Corpora by name. Obama's has no copy to download that is known to hold the same bytes."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """A text cut into its three splits."""

    name: str
    """Name of a known corpus, or the file's name without its ending."""
    train: Tensor
    """Indices into ``symbols``, uint8 (up to 256 symbols), int16 or int64 [characters]."""
    validation: Tensor
    """The same of the next 5 %; chooses the checkpoint."""
    test: Tensor
    """The same of the last 5 %."""
    symbols: tuple[str, ...]
    """The vocabulary, one character each, by code point."""
    checksum: str
    """SHA-256 of the file, hexadecimal."""

    @property
    def held_out(self) -> Tensor:
        """The last 10 %, validation then test, on which published figures are given."""
        return torch.cat((self.validation, self.test))


def load_corpus(config: TextConfig) -> Corpus:
    """Read the text that ``config.corpus`` names.

    Raises:
        DataError: the file is missing, not UTF-8, not the known one, too short to be split and
            cut into ``data.batch_size`` sequences, or leaves a vocabulary of one symbol.
    """
    known = KNOWN.get(config.corpus)
    path = _locate(config, known)
    if known and config.download and not path.exists() and known.urls:
        download(known.urls, path, known.sha256)
    content = _read(path, config)
    checksum = hashlib.sha256(content).hexdigest()
    if known and config.data.verify and checksum != known.sha256:
        raise DataError(
            f"{path}: not the known file: expected SHA-256 {known.sha256}, got {checksum}; "
            "--no-data.verify takes another text"
        )
    points = _code_points(content, path)
    borders = [int(len(points) * TRAIN_SHARE), int(len(points) * TEST_START)]
    pieces = np.split(points, borders)
    _check_lengths(pieces, path, config)
    vocabulary = make_vocabulary(pieces[0], points, config.data.min_count)
    if len(vocabulary) < 2:
        raise DataError(
            f"{path}: has no character but {chr(int(vocabulary[0]))!r} that occurs at least "
            f"data.min_count = {config.data.min_count} times; there is nothing to predict"
        )
    train, validation, test = (
        _narrow(encode(piece, vocabulary), len(vocabulary)) for piece in pieces
    )
    return Corpus(
        name=config.corpus if known else path.stem,
        train=train,
        validation=validation,
        test=test,
        symbols=tuple(map(chr, vocabulary.tolist())),
        checksum=checksum,
    )


def make_vocabulary(
    train: npt.NDArray[np.uint32], text: npt.NDArray[np.uint32], min_count: int
) -> npt.NDArray[np.uint32]:
    """Code points that occur ``min_count`` times in ``train``, ascending.

    U+FFFD joins them only if ``text``, the whole of it, holds a character outside of them.
    """
    found, counts = np.unique(train, return_counts=True)
    vocabulary = found[counts >= min_count]
    if not np.isin(text, vocabulary).all():
        vocabulary = np.union1d(vocabulary, np.array([UNKNOWN], np.uint32))
    return vocabulary


def encode(
    points: npt.NDArray[np.uint32], vocabulary: npt.NDArray[np.uint32]
) -> npt.NDArray[np.int64]:
    """Indices of ``points`` in the ascending ``vocabulary``, int64 of the same shape.

    What is not in the vocabulary becomes U+FFFD. Raises ValueError if that is not in it either.
    """
    places = np.minimum(np.searchsorted(vocabulary, points), len(vocabulary) - 1)
    outside = vocabulary[places] != points
    if outside.any():
        unknown = int(np.searchsorted(vocabulary, UNKNOWN))
        if unknown == len(vocabulary) or vocabulary[unknown] != UNKNOWN:
            stranger = chr(int(points[outside][0]))
            raise ValueError(f"{stranger!r} is not in the vocabulary, and U+FFFD is not either")
        places[outside] = unknown
    return places.astype(np.int64)


def _locate(config: TextConfig, known: _KnownCorpus | None) -> Path:
    """Where the text lies, or should."""
    if known:
        return config.data_dir / known.file
    path = Path(config.corpus)
    below = config.data_dir / path
    return below if below.exists() and not path.exists() else path


def _read(path: Path, config: TextConfig) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        known = ", ".join(KNOWN)
        raise DataError(
            f"{path}: no such file; corpus {config.corpus!r} wants it: give one of {known} with "
            "--data-dir, or the path of a UTF-8 file, from here or from --data-dir (a run keeps "
            "the file's name alone, so --data-dir must say where it lies)"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _code_points(content: bytes, path: Path) -> npt.NDArray[np.uint32]:
    """Code points of the UTF-8 text, line ends as they are, without a byte order mark."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start}: "
            f"{error.reason}"
        ) from error
    points = np.frombuffer(text.removeprefix("\ufeff").encode("utf-32-le"), dtype="<u4")
    return points.astype(np.uint32)


def _check_lengths(pieces: list[npt.NDArray[np.uint32]], path: Path, config: TextConfig) -> None:
    streams, length = config.data.batch_size, config.data.sequence_length
    if len(pieces[0]) <= streams * length or min(map(len, pieces)) < 2:
        raise DataError(
            f"{path}: too short: its {sum(map(len, pieces))} characters leave "
            f"{len(pieces[0])} for training, {len(pieces[1])} for validation and {len(pieces[2])} "
            f"for the test; expected more than data.batch_size x data.sequence_length = "
            f"{streams * length} for training, and at least 2 for each of the others"
        )


def _narrow(ids: npt.NDArray[np.int64], symbols: int) -> Tensor:
    """``ids`` in the smallest type that holds every index below ``symbols``."""
    if symbols <= 2**8:
        return torch.from_numpy(ids.astype(np.uint8))
    return torch.from_numpy(ids.astype(np.int16) if symbols <= 2**15 else ids)
