"""What was measured, as a table of ratios and as JSON."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.captions.measurement import Measured, Round
from benchmarks.serving.figures import Spread, ratios, spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One width with one number of clients, over all repetitions."""

    width: int
    clients: int
    captions_per_s: Spread
    """Over HTTP."""
    inside_per_s: Spread
    """Without a wire."""
    one_by_one_per_s: Spread
    """One request at a time on each lane."""
    to_one_by_one: Spread
    """HTTP over one by one, of the same repetition."""
    inside_to_one_by_one: Spread
    http_to_inside: Spread
    p50_ms: Spread
    p95_ms: Spread
    encode_share: Spread
    """Of the time that the server's engines ran."""
    decode_share: Spread
    busy: Spread
    """Share of the lanes' time in which the server's engines ran, from the first request to the
    last: the time at the end in which answers are only waited for makes it a little too high."""
    encode_rows: Spread
    """Pictures of a run."""
    decode_rows: Spread
    """Captions and beams of a run."""
    alone_encode_share: Spread
    """Of the time of one request at a time; the rest decodes and prepares."""
    alone_decode_share: Spread
    server_cores: float
    foreign_cores: float
    """The greatest, because it is what casts doubt on the others."""
    same_texts: int
    """Photos whose caption is the same from the server as from the bare graphs, the least."""


def summarise(measured: Measured) -> list[Row]:
    """One row for each width and number of clients."""
    groups: dict[tuple[int, int], list[Round]] = {}
    for one in measured.rounds:
        groups.setdefault((one.width, one.clients), []).append(one)
    return [_row(rounds, measured.lanes) for rounds in groups.values()]


def _row(rounds: Sequence[Round], lanes: int) -> Row:
    own = [one.http.captions_per_s for one in rounds]
    inside = [one.inside.captions_per_s for one in rounds]
    single = [one.one_by_one.captions_per_s for one in rounds]
    engine = [one.engine for one in rounds]
    whole = [e.encode_s + e.decode_s + e.prefill_s for e in engine]
    return Row(
        width=rounds[0].width,
        clients=rounds[0].clients,
        captions_per_s=spread(own),
        inside_per_s=spread(inside),
        one_by_one_per_s=spread(single),
        to_one_by_one=spread(ratios(own, single)),
        inside_to_one_by_one=spread(ratios(inside, single)),
        http_to_inside=spread(ratios(own, inside)),
        p50_ms=spread([one.http.p50_s * 1e3 for one in rounds]),
        p95_ms=spread([one.http.p95_s * 1e3 for one in rounds]),
        encode_share=spread(ratios([e.encode_s for e in engine], whole)),
        decode_share=spread(ratios([e.decode_s for e in engine], whole)),
        busy=spread(ratios(whole, [one.loaded_s * lanes for one in rounds])),
        encode_rows=spread(
            ratios([e.encode_rows for e in engine], [e.encode_runs for e in engine])
        ),
        decode_rows=spread(
            ratios([e.decode_rows for e in engine], [e.decode_runs for e in engine])
        ),
        alone_encode_share=spread([one.one_by_one.encode_share for one in rounds]),
        alone_decode_share=spread([one.one_by_one.decode_share for one in rounds]),
        server_cores=statistics.median(one.http.server_cores for one in rounds),
        foreign_cores=max(one.http.foreign_cores for one in rounds),
        same_texts=min(one.same_texts for one in rounds),
    )


_COLUMNS: tuple[tuple[str, Callable[[Row], object]], ...] = (
    ("beams", lambda row: row.width),
    ("clients", lambda row: row.clients),
    ("captions/s", lambda row: f"{row.captions_per_s.median:.1f}"),
    ("in process", lambda row: f"{row.inside_per_s.median:.1f}"),
    ("one by one", lambda row: f"{row.one_by_one_per_s.median:.1f}"),
    ("x one by one", lambda row: row.to_one_by_one),
    ("in process x", lambda row: row.inside_to_one_by_one),
    ("of in process", lambda row: row.http_to_inside),
    ("p50 ms", lambda row: f"{row.p50_ms.median:.0f}"),
    ("p95 ms", lambda row: f"{row.p95_ms.median:.0f}"),
    ("encode", lambda row: row.encode_share),
    ("decode", lambda row: row.decode_share),
    ("engines busy", lambda row: row.busy),
    ("pictures a run", lambda row: row.encode_rows),
    ("rows a run", lambda row: row.decode_rows),
    ("encode, one by one", lambda row: row.alone_encode_share),
    ("decode, one by one", lambda row: row.alone_decode_share),
    ("server cores", lambda row: f"{row.server_cores:.2f}"),
    ("foreign cores", lambda row: f"{row.foreign_cores:.2f}"),
    ("texts equal", lambda row: row.same_texts),
)


def as_markdown(measured: Measured, rows: Sequence[Row], where: dict[str, Any]) -> str:
    """The summary for people."""
    weights = "trained" if measured.trained else "random weights"
    head = [
        f"- {where['cpu']}, {where['cores']} cores; Python {where['python']}, "
        f"onnxruntime {where['onnxruntime']}",
        f"- {measured.model}, {measured.precision}, {weights}; "
        f"one by one: {measured.lanes} threads",
        "- median (least-greatest) of the repetitions",
        "",
        "| " + " | ".join(title for title, _ in _COLUMNS) + " |",
        "| " + " | ".join("---" for _ in _COLUMNS) + " |",
    ]
    body = ["| " + " | ".join(str(value(row)) for _, value in _COLUMNS) + " |" for row in rows]
    return "\n".join([*head, *body]) + "\n"


def as_json(measured: Measured, rows: Sequence[Row], where: dict[str, Any]) -> dict[str, Any]:
    """Summary and every single measurement, as plain values."""
    return {
        "environment": where,
        "model": measured.model,
        "trained": measured.trained,
        "summary": [asdict(row) for row in rows],
        "rounds": [_plain_round(one) for one in measured.rounds],
    }


def _plain_round(one: Round) -> dict[str, Any]:
    parts = {name: getattr(one, name) for name in ("http", "inside", "one_by_one")}
    return {
        "width": one.width,
        "clients": one.clients,
        "engine": asdict(one.engine),
        "same_texts": one.same_texts,
        **{name: part.model_dump(exclude={"texts"}) for name, part in parts.items()},
    }
