"""What a load did and what it took, from the client's tally and the server's counters."""

from quartet.kit.errors import KitError
from quartet.kit.load import Tally, quantile
from quartet.kit.measurements import SteadyFigures
from quartet.kit.samples import Plan
from quartet.kit.scrape import Scrape

FIRST_SYMBOL = "quartet_generation_first_symbol_seconds"


def load_figures(tally: Tally) -> dict[str, float]:
    """Figures of any load. Raises KitError if no request was answered."""
    if not tally.latencies_s:
        raise KitError(
            f"no request was answered in {tally.window_s:.1f} s ({tally.rejected} were refused "
            "with 429); give more --seconds"
        )
    return {
        "requests": len(tally.latencies_s),
        "rejected": tally.rejected,
        "requests_per_second": rounded(tally.requests_per_second),
        "p50_s": rounded(quantile(tally.latencies_s, 0.5)),
        "p99_s": rounded(quantile(tally.latencies_s, 0.99)),
        "client_cpu": rounded(tally.client_cpu),
    }


def steady_figures(
    plan: Plan, rate: float, tally: Tally, before: Scrape, after: Scrape
) -> SteadyFigures:
    """What a load took of each resource.

    By the utilization law U = X * D (Denning and Buzen 1978): demand D of one request, from the
    counters over all requests sent, times the rate X. That holds although the last requests end
    after the window. Little's law L = X * W gives the rows that wait.
    """

    def demand(name: str, **labels: str) -> float:
        """Of one request."""
        return (after.value(name, **labels) - before.value(name, **labels)) / tally.sent

    of_model = {"model": plan.name, "version": plan.version}
    threads = after.value("quartet_engine_threads")
    own_runs = demand("quartet_execution_duration_seconds_sum", **of_model) or demand(
        "quartet_generation_run_duration_seconds_sum", **of_model
    )
    engine = demand("quartet_engine_busy_seconds_total") / threads
    return SteadyFigures(
        **load_figures(tally),
        offered_rps=rounded(rate),
        client_lateness_p99_s=rounded(quantile(tally.lateness_s, 0.99)),
        mean_batch_rows=rounded(_mean_batch(plan, before, after)),
        utilization=rounded(min(1.0, rate * max(engine, own_runs / plan.instances))),
        loop_utilization=rounded(min(1.0, rate * demand("quartet_loop_cpu_seconds_total"))),
        cpu_cores=rounded(rate * demand("process_cpu_seconds_total")),
        mean_waiting_rows=rounded(
            rate * plan.rows_per_request * demand("quartet_queue_duration_seconds_sum", **of_model)
        ),
        first_symbol_p99_s=after.quantile_since(before, FIRST_SYMBOL, 0.99, **of_model),
    )


def _mean_batch(plan: Plan, before: Scrape, after: Scrape) -> float:
    """Rows of one run; of a generator the texts that were written together."""
    labels = {"model": plan.name, "version": plan.version}
    histograms: tuple[tuple[str, dict[str, str]], ...] = (
        ("quartet_batch_size", {}),
        ("quartet_generation_run_rows", {"kind": "decode"}),
    )
    for name, extra in histograms:
        rows, runs = (
            after.total(f"{name}_{end}", **labels, **extra)
            - before.total(f"{name}_{end}", **labels, **extra)
            for end in ("sum", "count")
        )
        if runs:
            return rows / runs
    return 0.0


def rounded(value: float) -> float:
    """To four significant digits: more would claim what was not measured."""
    return float(f"{value:.4g}")
