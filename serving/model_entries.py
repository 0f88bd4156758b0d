"""Where each model and version of a repository is in its life, and what that means to a request."""

from dataclasses import dataclass, field
from enum import StrEnum

from serving.errors import ModelNotReady
from serving.loaded_model import LoadedModel


class ModelState(StrEnum):
    """Where a version is in its life."""

    LOADING = "LOADING"
    """Being read, checked and warmed up; not served."""
    READY = "READY"
    """Served."""
    UNAVAILABLE = "UNAVAILABLE"
    """Failed to load; the reason says why."""


@dataclass(slots=True)
class VersionEntry:
    """One version of one model."""

    state: ModelState = ModelState.LOADING
    reason: str = ""
    """Why it is UNAVAILABLE."""
    model: LoadedModel | None = None
    """Set while READY."""


@dataclass(slots=True)
class ModelEntry:
    """One model: its versions, or why none could even be tried."""

    versions: dict[int, VersionEntry] = field(default_factory=dict)
    reason: str = ""

    def ready_versions(self) -> list[int]:
        """Versions that are served, ascending."""
        return sorted(v for v, e in self.versions.items() if e.state is ModelState.READY)


def not_ready(name: str, entry: ModelEntry) -> ModelNotReady:
    """What a request is told that names a model of which no version serves."""
    if any(e.state is ModelState.LOADING for e in entry.versions.values()):
        return ModelNotReady(f"model {name!r} is loading", retry_after_s=1.0)
    reasons = [entry.reason] if entry.reason else []
    reasons += [f"version {v}: {e.reason}" for v, e in sorted(entry.versions.items())]
    return ModelNotReady(f"model {name!r} has no available versions: {'; '.join(reasons)}")


def version_not_ready(name: str, version: str, entry: VersionEntry) -> ModelNotReady:
    """What a request is told that names a version which does not serve."""
    if entry.state is ModelState.LOADING:
        return ModelNotReady(f"model {name!r} version {version} is loading", retry_after_s=1.0)
    return ModelNotReady(f"model {name!r} version {version} is not ready: {entry.reason}")
