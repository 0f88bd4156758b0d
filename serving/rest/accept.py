"""Which media type an answer gets, by the header Accept (RFC 9110, section 12.5.1)."""

from collections.abc import Sequence

from serving.errors import NotAcceptable
from serving.rest.http import quality

Range = tuple[str, float]


def choose_type(accept: str | None, offered: Sequence[str]) -> str:
    """The type of ``offered`` that the client likes best.

    Args:
        accept: the header; None or blank: the client takes anything.
        offered: media types, at least one. Among equals the first is taken.

    Raises:
        NotAcceptable: the client takes none of them.
    """
    if accept is None or not accept.strip():
        return offered[0]
    ranges = [_range(item) for item in accept.split(",") if item.strip()]
    best = max(offered, key=lambda kind: _weight(kind, ranges))
    if _weight(best, ranges) <= 0:
        raise NotAcceptable(f"Accept {accept[:200]!r}: this answer can be {' or '.join(offered)}")
    return best


def _range(item: str) -> Range:
    """Media range and weight; parameters but for the weight are ignored."""
    kind, *parameters = item.split(";")
    weights = [quality(p) for p in parameters if p.partition("=")[0].strip().lower() == "q"]
    return kind.strip().lower(), weights[0] if weights else 1.0


def _weight(kind: str, ranges: Sequence[Range]) -> float:
    """Weight of the most specific range that covers ``kind``; 0 if none does."""
    for covering in (kind, kind.partition("/")[0] + "/*", "*/*"):
        weights = [weight for name, weight in ranges if name == covering]
        if weights:
            return max(weights)
    return 0.0
