"""``quartet serve``, ``quartet models`` and ``quartet doctor``."""

import asyncio
import json
import platform
import sys
from collections.abc import Sequence
from typing import Any

import onnxruntime
from prometheus_client import CollectorRegistry

from quartet import __version__
from quartet.config import ConfigError, load_config
from serving.app import run
from serving.application import build_engines
from serving.logs import configure_logging
from serving.metrics import Metrics
from serving.model_entries import VersionEntry
from serving.providers import choose_device, missing_for_cuda
from serving.repository import ModelRepository
from serving.settings import ServerSettings
from serving.threads import available_cpus, plan_threads

ENV_PREFIX = "QUARTET_"


def serve(argv: Sequence[str]) -> int:
    """Run the server until it is told to stop."""
    settings = _settings(argv, "serve")
    configure_logging(settings.log_format, settings.log_level)
    return run(settings)


def models(argv: Sequence[str]) -> int:
    """Load every model as the server would and print what became of it, as JSON."""
    settings = _settings(argv, "models", "Load every model, check it, and print it as JSON.")
    configure_logging("text", "error")
    repository = ModelRepository(
        settings.model_repository,
        build_engines(settings, Metrics(CollectorRegistry())),
        settings.models,
        settings.model_name,
    )
    asyncio.run(repository.load_all())
    report = {
        name: {"reason": entry.reason}
        if entry.reason
        else {str(v): _describe(e) for v, e in sorted(entry.versions.items())}
        for name, entry in repository.models.items()
    }
    _print(report)
    ready = all(e.versions and not e.reason for e in repository.models.values())
    failed = any(v.model is None for e in repository.models.values() for v in e.versions.values())
    return 0 if ready and not failed else 1


def doctor(argv: Sequence[str]) -> int:
    """Print what this machine offers the server, and what keeps CUDA from working."""
    settings = _settings(argv, "doctor", "Report devices, threads and versions as JSON.")
    missing = missing_for_cuda()
    threads = settings.threads or available_cpus()
    report: dict[str, Any] = {
        "quartet": __version__,
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
        "providers_built_in": onnxruntime.get_available_providers(),
        "cuda": "works" if missing is None else f"does not work: {missing}",
        "cpus": available_cpus(),
        "plan": {
            "threads": threads,
            "instances": plan_threads(
                threads, instances=settings.instances, intra_op=None
            ).instances,
        },
        "model_repository": {
            "path": str(settings.model_repository),
            "exists": settings.model_repository.is_dir(),
        },
    }
    try:
        report["device"] = choose_device(settings.device).provider
    except ConfigError as error:
        report["device"] = f"error: {error}"
    _print(report)
    return 1 if report["device"].startswith("error") else 0


def _settings(argv: Sequence[str], command: str, description: str = "") -> ServerSettings:
    return load_config(
        ServerSettings,
        argv,
        prog=f"quartet {command}",
        description=description,
        env_prefix=ENV_PREFIX,
    )


def _describe(entry: VersionEntry) -> dict[str, Any]:
    if entry.model is None:
        return {"state": entry.state, "reason": entry.reason}
    model = entry.model
    return {
        "state": entry.state,
        "inputs": {s.name: [s.datatype.wire, *s.shape] for s in model.config.inputs},
        "outputs": {s.name: [s.datatype.wire, *s.shape] for s in model.config.outputs},
        "task": model.task,
        **model.properties,
    }


def _print(report: object) -> None:
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
