"""Rows on what servers run on: GPU, process, interpreter, and how many replicas there are."""

from quartet.monitoring import queries
from quartet.monitoring.dashboard.panels import Panel, Query, limits
from quartet.monitoring.dashboard.variables import SERVER, SERVICE, WINDOW
from quartet.monitoring.rules.thresholds import Thresholds

OWN = "on (namespace, job, pod, instance)"
"""Labels of a target: what metrics without other labels are joined by."""


def gpu(thresholds: Thresholds) -> tuple[Panel, ...]:
    """Empty on servers without a GPU."""
    return (
        Panel(
            title="GPU busy",
            description="Share of the time in which a kernel ran. Says nothing of how full it was.",
            queries=(Query(f"nv_gpu_utilization{{{SERVER}}}", "{{pod}} {{gpu_uuid}}"),),
            unit="percentunit",
            maximum=1,
            runbook="capacity-planning",
        ),
        Panel(
            title="GPU memory",
            description="Used by all processes, over what the GPU has.",
            queries=(
                Query(
                    f"nv_gpu_memory_used_bytes{{{SERVER}}} / nv_gpu_memory_total_bytes{{{SERVER}}}",
                    "{{pod}} {{gpu_uuid}}",
                ),
            ),
            unit="percentunit",
            maximum=1,
            steps=limits(thresholds.gpu_memory_fraction),
            runbook="memory-grows",
        ),
        Panel(
            title="GPU power",
            description="What the GPU draws. Falls when clocks are lowered by heat or by a limit.",
            queries=(Query(f"nv_gpu_power_usage{{{SERVER}}}", "{{pod}} {{gpu_uuid}}"),),
            unit="watt",
        ),
    )


def process(thresholds: Thresholds) -> tuple[Panel, ...]:
    """The Python process of each replica."""
    return (
        _cpu(),
        _engine(),
        _event_loop(thresholds),
        _file_descriptors(thresholds),
        _memory(),
        _memory_of_limit(thresholds),
        _collections(),
        _uptime(),
    )


def scaling() -> tuple[Panel, ...]:
    """What the autoscaler sees."""
    return (
        Panel(
            title="Replicas wanted by each signal",
            description=(
                "What the waiting rows, the engines and the event loops want, and how many replicas"
                " are ready. An autoscaler follows the highest, within its limits."
            ),
            queries=(
                Query(queries.replicas_by_queue(SERVICE), "queue"),
                Query(queries.replicas_by_engine(SERVICE), "engine"),
                Query(queries.replicas_by_loop(SERVICE), "event loop"),
                Query(queries.ready_replicas(SERVICE), "ready"),
            ),
            unit="short",
            width=16,
            decimals=0,
            runbook="capacity-planning",
        ),
        Panel(
            title="Replicas",
            description="Targets that Prometheus reaches, and those of them that are ready.",
            queries=(
                Query(f"sum(up{{{SERVICE}}})", "reached"),
                Query(f"count(up{{{SERVICE}}})", "known"),
                Query(queries.ready_replicas(SERVICE), "ready"),
            ),
            unit="short",
            decimals=0,
            runbook="replica-missing",
        ),
    )


def _cpu() -> Panel:
    return Panel(
        title="CPU",
        description="CPUs that the process uses, and what of it the event loop does.",
        queries=(
            Query(
                f"rate(process_cpu_seconds_total{{{SERVER}}}[{WINDOW}]) and {OWN} quartet_ready",
                "process {{pod}}",
            ),
            Query(f"rate(quartet_loop_cpu_seconds_total{{{SERVER}}}[{WINDOW}])", "loop {{pod}}"),
        ),
        unit="short",
        width=6,
        runbook="capacity-planning",
    )


def _engine() -> Panel:
    return Panel(
        title="Engine threads",
        description=(
            "Threads of the engine that run a model, and how many there are. More busy threads than"
            " CPUs used: the machine gives the process less than it asks for."
        ),
        queries=(
            Query(f"rate(quartet_engine_busy_seconds_total{{{SERVER}}}[{WINDOW}])", "busy {{pod}}"),
            Query(f"quartet_engine_threads{{{SERVER}}}", "threads {{pod}}"),
        ),
        unit="short",
        width=6,
        runbook="capacity-planning",
    )


def _memory() -> Panel:
    return Panel(
        title="Memory",
        description="Resident memory.",
        queries=(
            Query(f"process_resident_memory_bytes{{{SERVER}}} and {OWN} quartet_ready", "{{pod}}"),
        ),
        unit="bytes",
        width=6,
        runbook="memory-grows",
    )


def _memory_of_limit(thresholds: Thresholds) -> Panel:
    resident = f"process_resident_memory_bytes{{{SERVER}}}"
    return Panel(
        title="Memory of the limit",
        description="Resident memory over the limit at which the kernel ends the process.",
        queries=(Query(f"{resident} / {OWN} quartet_memory_limit_bytes{{{SERVER}}}", "{{pod}}"),),
        unit="percentunit",
        maximum=1,
        width=6,
        steps=limits(thresholds.memory_fraction),
        runbook="memory-grows",
    )


def _event_loop(thresholds: Thresholds) -> Panel:
    return Panel(
        title="Event loop",
        description="Busy fraction of the one thread that reads and writes all requests.",
        queries=(Query(f"quartet_loop_utilization{{{SERVER}}}", "{{pod}}"),),
        unit="percentunit",
        width=6,
        maximum=1,
        steps=limits(queries.UTILIZATION_TARGET, thresholds.loop_utilization),
        runbook="capacity-planning",
    )


def _file_descriptors(thresholds: Thresholds) -> Panel:
    opened = f"process_open_fds{{{SERVER}}} / process_max_fds{{{SERVER}}}"
    return Panel(
        title="File descriptors",
        description="Open ones over their limit. Each connection needs one.",
        queries=(Query(f"{opened} and {OWN} quartet_ready", "{{pod}}"),),
        unit="percentunit",
        width=6,
        maximum=1,
        steps=limits(thresholds.file_descriptor_fraction),
        runbook="capacity-planning",
    )


def _collections() -> Panel:
    counted = f"rate(python_gc_collections_total{{{SERVER}}}[{WINDOW}])"
    return Panel(
        title="Garbage collections",
        description="A second, by generation. One of generation 2 stops the loop for longest.",
        queries=(
            Query(
                f"sum by (generation) ({counted} and {OWN} quartet_ready)",
                "generation {{generation}}",
            ),
        ),
        unit="cps",
        width=6,
    )


def _uptime() -> Panel:
    return Panel(
        title="Time since start",
        description="Saw teeth are restarts.",
        queries=(
            Query(
                f"time() - process_start_time_seconds{{{SERVER}}} and {OWN} quartet_ready",
                "{{pod}}",
            ),
        ),
        unit="s",
        width=6,
        runbook="replica-missing",
    )
