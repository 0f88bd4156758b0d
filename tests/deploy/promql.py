"""The names and selectors in an expression, without a parser of the whole language."""

import re

WORDS = frozenset(
    [
        "and",
        "or",
        "unless",
        "offset",
        "bool",
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "inf",
        "nan",
    ]
)
STRING = r'"(?:[^"\\]|\\.)*"'
LABEL_LIST = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
NAME = re.compile(r"(?<![\w:$.])[a-zA-Z_:][\w:]*(?!\s*\()(?![\w:])")
SELECTOR = re.compile(
    rf"(?<![\w:$.])([a-zA-Z_:][\w:]*)(\{{(?:{STRING}|[^{{}}\"])*\}})?(?!\s*\()(?![\w:])"
)


def selectors(expr: str) -> list[str]:
    """Every instant selector of ``expr``, such as ``up{job="quartet"}``, in order."""
    plain = LABEL_LIST.sub(" ", expr)
    found = [match for match in SELECTOR.finditer(plain) if match[1] not in WORDS]
    return [match[0] for match in found]


def metric_names(expr: str) -> set[str]:
    """The metrics that ``expr`` reads."""
    return {selector.split("{")[0] for selector in selectors(expr)}
