"""The process's own metrics, under the names that every Python service has them."""

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector


def watch_process(registry: CollectorRegistry) -> None:
    """Register ``process_*``, ``python_gc_*`` and ``python_info``."""
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
