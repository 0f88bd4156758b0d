"""What was measured, as a table of ratios and as JSON."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.images.measurement import Round
from benchmarks.serving.figures import Spread, ratios, spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One case with one number of clients, over all repetitions."""

    case: str
    clients: int
    pictures_per_s: Spread
    of_bare: Spread
    """Over the bare graph's, of the same repetition."""
    p50_ms: Spread
    server_cores: float
    load_cores: float
    foreign_cores: float
    """The greatest, because it is what casts doubt on the others."""


def summarise(rounds: Sequence[Round]) -> list[Row]:
    """One row for each case and number of clients."""
    groups: dict[tuple[int, str], list[Round]] = {}
    for one in rounds:
        groups.setdefault((one.clients, one.case), []).append(one)
    return [_row(group) for group in groups.values()]


def _row(rounds: Sequence[Round]) -> Row:
    own = [one.load.pictures_per_s for one in rounds]
    return Row(
        case=rounds[0].case,
        clients=rounds[0].clients,
        pictures_per_s=spread(own),
        of_bare=spread(ratios(own, [one.bare.rows_per_s for one in rounds])),
        p50_ms=spread([one.load.p50_s * 1e3 for one in rounds]),
        server_cores=statistics.median(one.load.server_cores for one in rounds),
        load_cores=statistics.median(one.load.load_cores for one in rounds),
        foreign_cores=max(one.load.foreign_cores for one in rounds),
    )


def as_markdown(rows: Sequence[Row], rounds: Sequence[Round], where: dict[str, Any]) -> str:
    """The summary for people."""
    lines = [
        f"- {where['cpu']}, {where['cores']} cores; Python {where['python']}, "
        f"onnxruntime {where['onnxruntime']}",
        f"- one run of the bare graph: {_bare_ms(rounds):.2f} ms (median of one thread)",
        "- median (least-greatest) of the repetitions",
        "",
        "| case | clients | pictures/s | of bare | p50 ms | server cores | load cores | foreign |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.case} | {row.clients} | {row.pictures_per_s.median:.0f} | {row.of_bare} | "
        f"{row.p50_ms.median:.1f} | {row.server_cores:.2f} | {row.load_cores:.2f} | "
        f"{row.foreign_cores:.2f} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def _bare_ms(rounds: Sequence[Round]) -> float:
    fewest = min(one.bare.callers for one in rounds)
    return statistics.median(o.bare.run_p50_s for o in rounds if o.bare.callers == fewest) * 1e3


def as_json(rows: Sequence[Row], rounds: Sequence[Round], where: dict[str, Any]) -> dict[str, Any]:
    """Summary and every single measurement, as plain values."""
    return {
        "environment": where,
        "summary": [asdict(row) for row in rows],
        "rounds": [
            {
                "case": one.case,
                "clients": one.clients,
                "load": one.load.model_dump(),
                "bare": one.bare.model_dump(),
            }
            for one in rounds
        ],
    }
