"""Flickr8k: 8,000 photographs with five captions each, read from a zip file or its folder.

Source: Hodosh, Young, Hockenmaier, "Framing Image Description as a Ranking Task" (JAIR 2013).
``Flickr8k.token.txt`` holds one caption a line, ``<picture>#<number><tab><caption>``; three lists
name the pictures of the splits. The lists decide: what is in none of them is no part of the set.

Copies of the token file differ. Some have two records glued into one line, captions of pictures
that were never published, and names such as ``1.jpg.1``. What can be recovered is; everything left
out or mended is named in ``CaptionFiles.dropped``.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.data.caption_files import CaptionedFile, CaptionFiles, SplitName
from training.data.idx import DataError

ARCHIVE = "flickr8k.zip"
"""Name of the zip file."""
ARCHIVE_SHA256 = "7a6ff6abacac413fe270289e79df5cfdb64e411bd5f96f24752c19e34e41cfe4"
"""The copy with pictures of 160x160 that the shipped captioners were trained on."""
TOKENS = "Flickr8k.token.txt"
"""The file of captions."""
LISTS: Mapping[SplitName, str] = {
    "train": "Flickr_8k.trainImages.txt",
    "validation": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
"""Split -> file that names its pictures, one a line."""
_FOLDERS = ("flickr8k", "Flickr8k", "")
_TEXT_FOLDERS = ("", "Flickr8k_text/")
_PICTURE_FOLDERS = ("Images/", "Flicker8k_Dataset/", "Flickr8k_Dataset/")
_RECORD = re.compile(r"(\S+\.jpe?g(?:\.\d+)?)#(\d+)\t", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Store:
    """A zip file or a folder."""

    source: Path
    """What errors call it."""
    sizes: Mapping[str, int]
    """Path inside -> bytes."""
    read: Callable[[str], bytes]
    """Content of one path."""
    checksum: str | None
    """SHA-256 of the zip file; None for a folder."""

    def read_text(self, name: str) -> str:
        """Content of the text file ``name``, wherever it lies. Raises DataError."""
        for folder in _TEXT_FOLDERS:
            if folder + name in self.sizes:
                try:
                    return self.read(folder + name).decode("utf-8-sig")
                except UnicodeDecodeError as error:
                    raise DataError(f"{self.source}: {name}: not UTF-8: {error}") from error
        raise DataError(f"{self.source}: expected {name}, which is not there")


def flickr8k_files(data_dir: Path, *, verify: bool) -> CaptionFiles:
    """Files of ``<data_dir>/flickr8k.zip``, or of the folder of the original layout.

    The folder is ``<data_dir>/flickr8k``, ``<data_dir>/Flickr8k`` or ``data_dir``, and holds the
    pictures in ``Images`` or ``Flicker8k_Dataset``.

    Args:
        data_dir: folder of data sets.
        verify: refuse a zip file that is not the published one; a folder is never compared.

    Raises:
        DataError: absent, damaged, or not laid out as published.
    """
    store = _open(data_dir, verify)
    pictures = _pictures(store)
    lists = {split: store.read_text(file).split() for split, file in LISTS.items()}
    text = store.read_text(TOKENS)
    dropped: dict[str, str] = {}
    captions = _captions(text, pictures, dropped)
    splits = _splits(lists, pictures, captions, dropped)
    checksum = store.checksum or _checksum(store, (text, *map(" ".join, lists.values())))
    return CaptionFiles(splits, store.read, checksum, dropped)


def _open(data_dir: Path, verify: bool) -> _Store:
    archive = data_dir / ARCHIVE
    if archive.is_file():
        return _open_archive(archive, verify)
    for folder in (data_dir / name for name in _FOLDERS):
        if any((folder / inner / TOKENS).is_file() for inner in _TEXT_FOLDERS):
            return _open_folder(folder)
    raise DataError(f"{archive}: no such file, nor {TOKENS} in {data_dir / 'flickr8k'}")


def _open_archive(archive: Path, verify: bool) -> _Store:
    content = archive.read_bytes()
    checksum = hashlib.sha256(content).hexdigest()
    if verify and checksum != ARCHIVE_SHA256:
        raise DataError(
            f"{archive}: not the published file: expected SHA-256 {ARCHIVE_SHA256}, "
            f"got {checksum}; --no-data.verify takes other data"
        )
    try:
        opened = zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile as error:
        raise DataError(f"{archive}: {error}") from error
    sizes = {entry.filename: entry.file_size for entry in opened.infolist() if not entry.is_dir()}

    def read(name: str) -> bytes:
        try:
            return opened.read(name)  # ZipFile serialises its own reads
        except zipfile.BadZipFile as error:
            raise DataError(f"{archive}: {name}: {error}") from error

    return _Store(archive, sizes, read, checksum)


def _open_folder(folder: Path) -> _Store:
    inside = [folder / name for name in sorted({*_TEXT_FOLDERS, *_PICTURE_FOLDERS})]
    files = sorted(
        file for place in inside if place.is_dir() for file in place.iterdir() if file.is_file()
    )
    sizes = {file.relative_to(folder).as_posix(): file.stat().st_size for file in files}
    return _Store(folder, sizes, lambda name: (folder / name).read_bytes(), None)


def _checksum(store: _Store, texts: Sequence[str]) -> str:
    """SHA-256 of the texts and of the names and sizes of the pictures."""
    listing = "".join(f"{name} {size}\n" for name, size in sorted(store.sizes.items()))
    return hashlib.sha256("\n".join((*texts, listing)).encode()).hexdigest()


def _pictures(store: _Store) -> dict[str, str]:
    """Name of each stored picture -> its path."""
    found = {
        path.removeprefix(folder): path
        for folder in _PICTURE_FOLDERS
        for path in store.sizes
        if path.startswith(folder)
    }
    if not found:
        raise DataError(f"{store.source}: no pictures in {' or '.join(_PICTURE_FOLDERS)}")
    return found


def _captions(
    text: str, pictures: Collection[str], dropped: dict[str, str]
) -> dict[str, tuple[str, ...]]:
    """Captions of each stored picture by their number."""
    numbered: dict[str, dict[int, str]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        place = f"{TOKENS}, line {number}"
        records = _records(line, pictures)
        if line.strip() and not records:
            dropped[place] = "not <picture>#<number><tab><caption>"
        if len(records) > 1:
            dropped[place] = f"{len(records)} records in one line; all of them were recovered"
        for name, index, caption in records:
            key = f"{name}#{index}"
            if name not in pictures:
                dropped[name] = "has captions but no picture"
            elif not caption:
                dropped[key] = "an empty caption"
            elif index in numbered.setdefault(name, {}):
                dropped[f"{key}, line {number}"] = "a second record of that number"
            else:
                numbered[name][index] = caption
    return {
        name: tuple(caption for _, caption in sorted(rows.items()))
        for name, rows in numbered.items()
    }


def _records(line: str, pictures: Collection[str]) -> list[tuple[str, int, str]]:
    """Picture, number and caption of every record that begins in ``line``."""
    heads = list(_RECORD.finditer(line))
    if not heads or heads[0].start() != 0:
        return []
    records = []
    for place, head in enumerate(heads):
        last = place == len(heads) - 1
        following = len(line) if last else _name_start(heads[place + 1], pictures)
        begin = 0 if place == 0 else _name_start(head, pictures)
        name = line[begin : head.end(1)]
        records.append((name, int(head[2]), line[head.end() : following].strip()))
    return records


def _name_start(head: "re.Match[str]", pictures: Collection[str]) -> int:
    """Where the name of a glued record begins: the last word of the caption may cling to it."""
    start, end = head.span(1)
    known = (at for at in range(start, end) if head.string[at:end] in pictures)
    return next(known, start)


def _splits(
    lists: Mapping[SplitName, Sequence[str]],
    pictures: Mapping[str, str],
    captions: Mapping[str, tuple[str, ...]],
    dropped: dict[str, str],
) -> dict[SplitName, dict[str, CaptionedFile]]:
    """Files of each list. A picture in two lists stays in the one that is scored."""
    splits: dict[SplitName, dict[str, CaptionedFile]] = {"train": {}, "validation": {}, "test": {}}
    taken: dict[str, str] = {}
    order: tuple[SplitName, ...] = ("test", "validation", "train")
    for split in order:
        for name in lists[split]:
            entry = f"{LISTS[split]}: {name}"
            if name in taken:
                dropped[entry] = f"is in {taken[name]} already"
            elif name not in pictures:
                dropped[entry] = "no such picture"
            elif name not in captions:
                dropped[entry] = "no captions"
            else:
                splits[split][name] = CaptionedFile(pictures[name], captions[name])
                taken[name] = LISTS[split]
    return splits
