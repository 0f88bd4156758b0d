"""Alerts on what a server's process and its GPU run out of."""

from quartet.monitoring.rules.thresholds import Thresholds
from quartet.monitoring.rules.types import Alert, Group

MEMORY_OF_LIMIT = (
    "process_resident_memory_bytes / on (namespace, job, pod, instance) quartet_memory_limit_bytes"
)


def process_group(thresholds: Thresholds) -> Group:
    """Does a replica run out of something?"""
    return Group(
        "quartet.process",
        (
            _memory_near_limit(thresholds.memory_fraction),
            _memory_grows(thresholds.memory_growth_hours),
            _file_descriptors(thresholds.file_descriptor_fraction),
            _gpu_memory(thresholds.gpu_memory_fraction),
        ),
    )


def _memory_near_limit(fraction: float) -> Alert:
    return Alert(
        name="QuartetMemoryNearLimit",
        expr=f"{MEMORY_OF_LIMIT} > {fraction:g}",
        wait="5m",
        severity="critical",
        runbook="memory-grows",
        summary="{{ $labels.instance }} of {{ $labels.job }} is about to run out of memory",
        description=(
            "Resident memory has been {{ $value | humanizePercentage }} of the limit for 5 minutes."
            " At 100% the kernel ends the server, and requests in flight are lost."
        ),
    )


def _memory_grows(hours: int) -> Alert:
    return Alert(
        name="QuartetMemoryGrows",
        expr=(
            f"predict_linear(process_resident_memory_bytes[6h], {hours} * 3600)\n"
            "  / on (namespace, job, pod, instance) quartet_memory_limit_bytes > 1\n"
            "  and on (job, instance) time() - process_start_time_seconds > 7 * 3600"
        ),
        wait="1h",
        severity="warning",
        runbook="memory-grows",
        summary="the memory of {{ $labels.instance }} of {{ $labels.job }} grows",
        description=(
            "Going on as in the last 6 hours, it will have {{ $value | humanizePercentage }} of its"
            f" limit within {hours} hours."
        ),
    )


def _file_descriptors(fraction: float) -> Alert:
    return Alert(
        name="QuartetFileDescriptors",
        expr=(
            f"process_open_fds / process_max_fds > {fraction:g}"
            " and on (job, instance) quartet_ready"
        ),
        wait="10m",
        severity="warning",
        runbook="memory-grows",
        summary="{{ $labels.instance }} of {{ $labels.job }} runs out of file descriptors",
        description=(
            "{{ $value | humanizePercentage }} of its file descriptors are open; without one, no"
            " connection is taken. Each connection needs one."
        ),
    )


def _gpu_memory(fraction: float) -> Alert:
    return Alert(
        name="QuartetGpuMemoryFull",
        expr=f"nv_gpu_memory_used_bytes / nv_gpu_memory_total_bytes > {fraction:g}",
        wait="10m",
        severity="warning",
        runbook="memory-grows",
        summary="the GPU {{ $labels.gpu_uuid }} of {{ $labels.instance }} is almost full",
        description=(
            "{{ $value | humanizePercentage }} of its memory is in use. An allocation that fails"
            " fails the whole batch."
        ),
    )
