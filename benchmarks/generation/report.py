"""What was measured, as a table of ratios and as JSON."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.generation.measurement import Measured, Round
from benchmarks.generation.workload import Lengths
from benchmarks.serving.figures import Spread, percentile, ratios, spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number of clients with one kind of lengths, over all repetitions."""

    lengths: Lengths
    clients: int
    symbols_per_s: Spread
    to_single: Spread
    """Times the plain server that writes one text at a time in float32."""
    to_static: Spread
    """Times the plain server with static batches of the same graphs."""
    of_bare_one: Spread
    """Share of the bare decode graph in a loop: one caller, all rows."""
    of_bare_lanes: Spread
    """The same with as many callers as the server has engine threads, the rows divided."""
    first_ms: Spread
    """Median time from request to first text."""
    first_runs: Spread
    """That over the server's mean decode run."""
    gap_p99_ms: Spread
    """Between two pieces of one text."""
    run_ms: Spread
    run_rows: Spread
    server_cores: float
    load_cores: float
    foreign_cores: float
    """The greatest, because it is what casts doubt on the others."""
    compared: int
    """Texts found equal to what they are alone."""


def summarise(measured: Measured) -> list[Row]:
    """One row for each kind of lengths and number of clients."""
    groups: dict[tuple[Lengths, int], list[Round]] = {}
    for one in measured.rounds:
        groups.setdefault((one.lengths, one.clients), []).append(one)
    return [_row(lengths, clients, rounds) for (lengths, clients), rounds in groups.items()]


def _row(lengths: Lengths, clients: int, rounds: Sequence[Round]) -> Row:
    own = [one.quartet.symbols_per_s for one in rounds]
    first = [statistics.median(one.quartet.first_s) for one in rounds]
    return Row(
        lengths=lengths,
        clients=clients,
        symbols_per_s=spread(own),
        to_single=spread(ratios(own, [one.single.symbols_per_s for one in rounds])),
        to_static=spread(ratios(own, [one.static.symbols_per_s for one in rounds])),
        of_bare_one=spread(ratios(own, [one.bare_one.symbols_per_s for one in rounds])),
        of_bare_lanes=spread(ratios(own, [one.bare_lanes.symbols_per_s for one in rounds])),
        first_ms=spread([value * 1e3 for value in first]),
        first_runs=spread(ratios(first, [one.run_s for one in rounds])),
        gap_p99_ms=spread(
            [
                percentile(sorted(one.quartet.gaps_s), 99) * 1e3
                for one in rounds
                if one.quartet.gaps_s
            ]
        ),
        run_ms=spread([one.run_s * 1e3 for one in rounds]),
        run_rows=spread([one.run_rows for one in rounds]),
        server_cores=statistics.median(one.quartet.server_cores for one in rounds),
        load_cores=statistics.median(one.quartet.load_cores for one in rounds),
        foreign_cores=max(one.quartet.foreign_cores for one in rounds),
        compared=sum(one.quartet.compared for one in rounds),
    )


_COLUMNS: tuple[tuple[str, Callable[[Row], object]], ...] = (
    ("lengths", lambda row: row.lengths),
    ("clients", lambda row: row.clients),
    ("symbols/s", lambda row: f"{row.symbols_per_s.median:.0f}"),
    ("x one at a time", lambda row: row.to_single),
    ("x static batches", lambda row: row.to_static),
    ("of bare, 1 caller", lambda row: row.of_bare_one),
    ("of bare, all lanes", lambda row: row.of_bare_lanes),
    ("first text ms", lambda row: row.first_ms),
    ("in K-step runs", lambda row: row.first_runs),
    ("gap p99 ms", lambda row: row.gap_p99_ms),
    ("run ms", lambda row: row.run_ms),
    ("rows a run", lambda row: row.run_rows),
    ("server cores", lambda row: f"{row.server_cores:.2f}"),
    ("load cores", lambda row: f"{row.load_cores:.2f}"),
    ("foreign cores", lambda row: f"{row.foreign_cores:.2f}"),
    ("texts equal", lambda row: row.compared),
)


def as_markdown(measured: Measured, rows: Sequence[Row], where: dict[str, Any]) -> str:
    """The summary for people."""
    head = [
        f"- {where['cpu']}, {where['cores']} cores; Python {where['python']}, "
        f"onnxruntime {where['onnxruntime']}",
        f"- {measured.model} version {measured.default}, K = {measured.rounds[0].steps}; "
        f"one at a time: version {measured.plain}",
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
        "summary": [asdict(row) for row in rows],
        "rounds": [_plain_round(one) for one in measured.rounds],
    }


def _plain_round(one: Round) -> dict[str, Any]:
    parts = {n: getattr(one, n) for n in ("quartet", "static", "single", "bare_one", "bare_lanes")}
    return {
        "clients": one.clients,
        "lengths": one.lengths,
        "run_s": one.run_s,
        "run_rows": one.run_rows,
        **{name: part.model_dump() for name, part in parts.items()},
    }
