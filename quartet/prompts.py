"""How the text of a prompt becomes words: training and serving cut it in the same way."""

import re

_OTHER = re.compile(r"[^a-z0-9 -]")


def prompt_words(text: str) -> tuple[str, ...]:
    """Words of ``text``: lower case, what is no letter, digit or hyphen taken for a space."""
    return tuple(_OTHER.sub(" ", text.lower()).split())
