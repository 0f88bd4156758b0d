"""What was measured, as figures that can be compared between machines, in Markdown and JSON."""

import os
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.serving.figures import Spread, ratios, spread
from benchmarks.serving.load import Load, Mode
from benchmarks.serving.measurement import JOINED_ROWS, Measured, Round

MIB = 1024 * 1024
PACKAGES = ("onnxruntime", "uvicorn", "uvloop", "grpcio", "fastapi", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One mode with one number of clients, over all repetitions."""

    mode: Mode
    clients: int
    rows_per_s: Spread
    share_of_bare: Spread
    """Of the bare engine's rows a second: the same network and threads, batch 1."""
    share_of_bare_joined: Spread | None
    """The same at the larger batch; None for pictures, which are another network."""
    ratio_to_plain: Spread | None
    """To the plain FastAPI application; None for pictures and for itself."""
    p50_ms: float
    p95_ms: float
    p99_ms: float
    beyond_engine_ms: Spread | None
    """One client alone: median latency less the bare engine's median run."""
    batch_rows: Spread | None
    """Mean rows of the server's runs."""
    server_cpu_us: float
    """CPU time of the server a row, the engine's included: the figure least moved by noise."""
    server_cores: float
    load_cores: float
    foreign_cores: float
    """The greatest, because it is what casts doubt on the others."""


def summarise(measured: Measured) -> list[Row]:
    """One row for each mode and number of clients, in the order measured."""
    groups: dict[tuple[Mode, int], list[Round]] = {}
    for one in measured.rounds:
        for mode in one.loads:
            groups.setdefault((mode, one.clients), []).append(one)
    return [_row(mode, clients, rounds) for (mode, clients), rounds in sorted(groups.items())]


def environment(command: Sequence[str]) -> dict[str, Any]:
    """Machine, versions and command of this process."""
    return {
        "command": " ".join(command),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "kernel": platform.release(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def as_json(measured: Measured, rows: Sequence[Row], where: dict[str, Any]) -> dict[str, Any]:
    """Summary and every single measurement, as plain values."""
    return {
        "environment": where,
        "ready_s": measured.ready_s,
        "resident_bytes": measured.resident_bytes,
        "channels": measured.channels,
        "shipped_classifier": measured.shipped_classifier,
        "summary": [asdict(row) for row in rows],
        "rounds": [_plain_round(one) for one in measured.rounds],
    }


def as_markdown(measured: Measured, rows: Sequence[Row], where: dict[str, Any]) -> str:
    """The summary for people."""
    lines = [
        f"- {where['cpu']}, {where['cores']} cores; Python {where['python']}, "
        + ", ".join(f"{name} {where[name]}" for name in PACKAGES),
        f"- reference network with {measured.channels} channels (64 in the example)",
        f"- bare engine, rows/s: {_bare_text(measured)}",
        f"- start to ready: {spread(measured.ready_s)} s; resident memory after the load: "
        f"{max(measured.resident_bytes) / MIB:.0f} MiB",
        f"- pictures go to {_classifier_text(measured)}",
        "- median (least-greatest) of the repetitions",
        "",
    ]
    return "\n".join(lines) + _table(rows) + "\n"


_COLUMNS: tuple[tuple[str, Callable[[Row], object]], ...] = (
    ("mode", lambda row: row.mode),
    ("clients", lambda row: row.clients),
    ("rows/s", lambda row: f"{row.rows_per_s.median:.0f}"),
    ("of bare", lambda row: row.share_of_bare),
    (f"of bare, batch {JOINED_ROWS}", lambda row: row.share_of_bare_joined),
    ("x plain", lambda row: row.ratio_to_plain),
    ("p50 ms", lambda row: f"{row.p50_ms:.2f}"),
    ("p95 ms", lambda row: f"{row.p95_ms:.2f}"),
    ("p99 ms", lambda row: f"{row.p99_ms:.2f}"),
    ("beyond engine, ms", lambda row: row.beyond_engine_ms),
    ("rows a run", lambda row: row.batch_rows),
    ("server CPU us/row", lambda row: f"{row.server_cpu_us:.0f}"),
    ("server cores", lambda row: f"{row.server_cores:.2f}"),
    ("load cores", lambda row: f"{row.load_cores:.2f}"),
    ("foreign cores", lambda row: f"{row.foreign_cores:.2f}"),
)


def _table(rows: Sequence[Row]) -> str:
    heads = [head for head, _ in _COLUMNS]
    cells = [["" if (c := value(row)) is None else str(c) for _, value in _COLUMNS] for row in rows]
    lines = [heads, ["---"] * len(heads), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _row(mode: Mode, clients: int, rounds: Sequence[Round]) -> Row:
    loads = [one.loads[mode] for one in rounds]
    tensors = mode != "png"
    rates = [load.rows_per_s for load in loads]
    bare = [one.bare[1] if tensors else one.picture_bare for one in rounds]
    joined = ratios(rates, [one.bare[2].rows_per_s for one in rounds])
    plain = ratios(rates, [one.loads["plain"].rows_per_s for one in rounds])
    beyond = [
        (one.loads[mode].p50_s - one.bare[0].run_p50_s) * 1e3 for one in rounds if clients == 1
    ]
    return Row(
        mode=mode,
        clients=clients,
        rows_per_s=spread(rates),
        share_of_bare=spread(ratios(rates, [one.rows_per_s for one in bare if one])),
        share_of_bare_joined=spread(joined) if tensors else None,
        ratio_to_plain=spread(plain) if mode in ("http", "grpc") else None,
        p50_ms=_median(loads, lambda load: load.p50_s) * 1e3,
        p95_ms=_median(loads, lambda load: load.p95_s) * 1e3,
        p99_ms=_median(loads, lambda load: load.p99_s) * 1e3,
        beyond_engine_ms=spread(beyond) if beyond and tensors else None,
        batch_rows=None if mode == "plain" else spread([one.batch_rows[mode] for one in rounds]),
        server_cpu_us=_median(loads, lambda load: load.server_cores / load.rows_per_s * 1e6),
        server_cores=_median(loads, lambda load: load.server_cores),
        load_cores=_median(loads, lambda load: load.load_cores),
        foreign_cores=max(load.foreign_cores for load in loads),
    )


def _median(loads: Iterable[Load], value: Callable[[Load], float]) -> float:
    return spread([value(load) for load in loads]).median


def _bare_text(measured: Measured) -> str:
    texts = []
    for place, first in enumerate(measured.rounds[0].bare):
        rates = spread([one.bare[place].rows_per_s for one in measured.rounds])
        p50_ms = spread([one.bare[place].run_p50_s * 1e3 for one in measured.rounds])
        texts.append(
            f"{rates.median:.0f} ({rates.low:.0f}-{rates.high:.0f}) from {first.callers} caller(s) "
            f"at batch {first.batch}, {p50_ms.median:.3f} ms a run"
        )
    return "; ".join(texts)


def _classifier_text(measured: Measured) -> str:
    if measured.shipped_classifier:
        return "the shipped classifier"
    return "the reference network, because the shipped classifier was not found"


def _plain_round(one: Round) -> dict[str, Any]:
    return {
        "clients": one.clients,
        "bare": [bare.model_dump() for bare in one.bare],
        "picture_bare": one.picture_bare and one.picture_bare.model_dump(),
        "loads": {mode: load.model_dump() for mode, load in one.loads.items()},
        "batch_rows": one.batch_rows,
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine() or sys.platform
