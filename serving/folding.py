"""Texts that come near a character, for a vocabulary that lacks it.

Unicode gives most of them: canonical composition, compatibility equivalents, decomposition without
the marks (Unicode Standard Annex 15). What it leaves out, a small table adds: typographic signs,
letters that do not decompose, ends of lines.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping

_MARKS = "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u200d\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f"
"""Of a character class: marks, variation selectors, the joiner; what a base takes along."""
_MARK = re.compile(f"[{_MARKS}]")


def _each(characters: str, *texts: str) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(characters, texts)


_SIGNS: Mapping[str, tuple[str, ...]] = {
    **_each("\r\v\f\x1c\x1d\x1e\x85\u2028\u2029", "\n", " "),
    "\r\n": ("\n", " "),
    **_each("\n\t\x1f\u1680", " "),
    **_each("\u2018\u2019\u201a\u201b\u2032\u02bc\u00b4`\u2039\u203a", "'"),
    **_each("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"', "''"),
    **_each("\u2010\u2011\u2012\u2013\u2212", "-"),
    **_each("\u2014\u2015", "--", "-"),
    "'": ("\u2019",),
    '"': ("\u201d", "''"),
    "-": ("\u2013", "\u2014"),
    **_each("\u2022\u00b7\u2219", "*", "-"),
    "\u2044": ("/",),
    "\u00d7": ("x",),
    "\u00f7": ("/",),
    "\u00a9": ("(c)",),
    "\u00ae": ("(r)",),
    "\u00e6": ("ae",), "\u00c6": ("AE",), "\u0153": ("oe",), "\u0152": ("OE",),
    "\u00f8": ("o",), "\u00d8": ("O",), "\u0142": ("l",), "\u0141": ("L",),
    "\u0111": ("d",), "\u0110": ("D",), "\u00f0": ("d",), "\u00d0": ("D",),
    "\u00fe": ("th",), "\u00de": ("Th",), "\u00df": ("ss",), "\u1e9e": ("SS",),
    "\u0131": ("i",), "\u0127": ("h",), "\u0126": ("H",),
}  # fmt: skip
"""Character -> what stands for it, nearest first."""


def unknown_clusters(text: str, unknown: Collection[str]) -> re.Pattern[str]:
    """A pattern that finds the clusters of ``text`` that hold a character of ``unknown``.

    A cluster is a character with the marks that follow it, or CR LF.

    Args:
        text: any text.
        unknown: the characters of it that are looked for, at least one.
    """
    every = f"[{''.join(map(re.escape, unknown))}]"
    patterns = [f"{every}[{_MARKS}]*"]
    marks = "".join(character for character in unknown if _MARK.fullmatch(character))
    if marks:
        # Known, but for a mark behind it.
        patterns.insert(0, f"[^{_MARKS}][{_MARKS}]*?[{marks}][{_MARKS}]*")
    if "\r\n" in text and not {"\r", "\n"}.isdisjoint(unknown):
        patterns.insert(0, "\r\n")
    return re.compile("|".join(patterns), re.DOTALL)


def near_texts(cluster: str) -> Iterator[str]:
    """Texts to put for ``cluster``, nearest first; some may equal it.

    The empty text is among them only if the cluster is nothing but marks and invisible signs.
    """
    for text in dict.fromkeys((cluster, cluster.lower(), cluster.upper())):
        yield unicodedata.normalize("NFC", text)
        yield from _SIGNS.get(text, ())
        yield unicodedata.normalize("NFKC", text)
        yield _plain(text)


def _plain(text: str) -> str:
    """Decomposed, without marks and invisible signs, typographic signs at their plainest."""
    return "".join(
        _SIGNS.get(character, (character,))[-1]
        for character in unicodedata.normalize("NFKD", text)
        if unicodedata.category(character) not in ("Mn", "Me", "Cf")
    )
