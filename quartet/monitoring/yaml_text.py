"""YAML as people write it: keys in the order given, long PromQL as blocks."""

from collections.abc import Mapping
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as literal blocks, and indents lists below their keys."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """See ``yaml.Dumper``; lists are indented whatever ``indentless`` says."""
        del indentless
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def yaml_text(document: Mapping[str, Any], comment: str) -> str:
    """``document`` as YAML below ``comment``; the same bytes for the same value."""
    head = "".join(f"# {line}".rstrip() + "\n" for line in comment.splitlines())
    body = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)
    return head + body
