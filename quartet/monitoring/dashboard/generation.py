"""Row on models that write texts or make pictures, and on those that keep state."""

from quartet.monitoring import queries
from quartet.monitoring.dashboard.models import NAME, VERSION
from quartet.monitoring.dashboard.panels import Panel, Query, limits
from quartet.monitoring.dashboard.variables import MODEL, SERVER, WINDOW


def generation() -> tuple[Panel, ...]:
    """From a prompt's first symbol to pictures in flight."""
    return (
        _symbols(),
        _quantiles(
            "First symbol",
            "From the decoded request to the first symbol of each of its texts.",
            "quartet_generation_first_symbol_seconds",
        ),
        _quantiles(
            "Time between symbols",
            "Between two symbols of one text. Its inverse is what one reader sees a second.",
            "quartet_generation_symbol_interval_seconds",
        ),
        _slots(),
        _slot_utilization(),
        _texts(),
        _runs(),
        _run_rows(),
        _waste(),
        _pictures(),
        _pictures_in_flight(),
        _kept(),
    )


def _symbols() -> Panel:
    rate = queries.rate("quartet_generation_symbols_total", MODEL, f"{VERSION}, kind", WINDOW)
    return Panel(
        title="Symbols a second",
        description="Read from prompts, and written for clients.",
        queries=(Query(rate, f"{NAME} {{{{kind}}}}"),),
        unit="cps",
    )


def _quantiles(title: str, description: str, histogram: str) -> Panel:
    return Panel(
        title=title,
        description=f"{description} Over all chosen models.",
        queries=tuple(
            Query(queries.quantile(share, histogram, MODEL, "", WINDOW), f"p{share * 100:g}")
            for share in (0.5, 0.95, 0.99)
        ),
        unit="s",
        runbook="latency-budget-burns",
    )


def _slots() -> Panel:
    rows = f"sum by ({VERSION}, state) (quartet_generation_rows{{{MODEL}}})"
    return Panel(
        title="Texts under way",
        description="Texts that have a slot, and texts that wait for one.",
        queries=(Query(rows, f"{NAME} {{{{state}}}}"),),
        unit="short",
        runbook="queue-grows",
    )


def _slot_utilization() -> Panel:
    active = f'sum by ({VERSION}) (quartet_generation_rows{{{MODEL},state="active"}})'
    slots = f"sum by ({VERSION}) (quartet_generation_slots{{{MODEL}}})"
    return Panel(
        title="Slots taken",
        description="Texts that are being written, over the slots of all replicas.",
        queries=(Query(f"{active} / {slots}", NAME),),
        unit="percentunit",
        maximum=1,
        steps=limits(0.9),
        runbook="capacity-planning",
    )


def _texts() -> Panel:
    return Panel(
        title="Texts by end",
        description="Texts a second that ended, by the reason why.",
        queries=(
            Query(
                queries.rate("quartet_generation_texts_total", MODEL, "reason", WINDOW),
                "{{reason}}",
            ),
        ),
        unit="cps",
        stacked=True,
    )


def _runs() -> Panel:
    histogram = "quartet_generation_run_duration_seconds"
    by = f"{VERSION}, kind"
    return Panel(
        title="Run time p99",
        description="One run of the engine: prefill reads prompts, decode writes some symbols.",
        queries=(
            Query(queries.quantile(0.99, histogram, MODEL, by, WINDOW), f"{NAME} {{{{kind}}}}"),
        ),
        unit="s",
    )


def _run_rows() -> Panel:
    decode = f'{MODEL},kind="decode"'
    return Panel(
        title="Texts in one run",
        description="Decoding runs by the number of texts that shared them.",
        queries=(
            Query(
                f"sum by (le) (increase(quartet_generation_run_rows_bucket{{{decode}}}[{WINDOW}]))",
                "{{le}}",
            ),
        ),
        unit="short",
        kind="heatmap",
    )


def _waste() -> Panel:
    steps = f'{MODEL},kind="decode"'
    written = f'{MODEL},kind="written"'
    computed = queries.rate("quartet_generation_row_steps_total", steps, VERSION, WINDOW)
    used = queries.rate("quartet_generation_symbols_total", written, VERSION, WINDOW)
    return Panel(
        title="Steps past the end",
        description=(
            "Share of the decoder's steps whose symbols nobody gets, since their text ended in the"
            " middle of a run. High with short texts: fewer --generation.steps waste less."
        ),
        queries=(Query(f"clamp_min(1 - {used} / {computed}, 0)", NAME),),
        unit="percentunit",
        maximum=1,
    )


def _pictures() -> Panel:
    return Panel(
        title="Pictures a second",
        description="Pictures made, whether or not anybody read them.",
        queries=(
            Query(queries.rate("quartet_images_generated_total", MODEL, VERSION, WINDOW), NAME),
        ),
        unit="cps",
    )


def _pictures_in_flight() -> Panel:
    return Panel(
        title="Pictures in flight",
        description="Pictures that are being made or wait for their reader.",
        queries=(Query(f"sum by ({VERSION}) (quartet_images_in_flight{{{MODEL}}})", NAME),),
        unit="short",
    )


def _kept() -> Panel:
    sequences = f"sum by ({VERSION}, state) (quartet_sequences{{{MODEL}}})"
    return Panel(
        title="Kept state",
        description="Texts kept for clients, and sequences of stateful models.",
        queries=(
            Query(f"sum by (pod) (quartet_sessions{{{SERVER}}})", "sessions {{pod}}"),
            Query(sequences, f"{NAME} {{{{state}}}}"),
        ),
        unit="short",
    )
