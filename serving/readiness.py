"""Whether requests should be sent here, and why not."""

from collections.abc import Sequence

from serving.repository import ModelRepository


class Readiness:
    """Of one server."""

    def __init__(self, repository: ModelRepository, required: Sequence[str]) -> None:
        """The models ``required`` must be ready before the server is."""
        self._repository = repository
        self._required = tuple(required)
        self.draining = False
        """Whether the server is about to end."""

    def ready(self) -> bool:
        """See ``InferenceService.ready``."""
        if self.draining or not self._repository.loaded or self._missing():
            return False
        models = self._repository.models
        return not models or any(entry.ready_versions() for entry in models.values())

    def why_not(self) -> str:
        """The reason in words; empty if ready."""
        if self.draining:
            return "the server is shutting down"
        if not self._repository.loaded:
            return "models are loading"
        if self.ready():
            return ""
        missing = self._missing()
        return (
            f"required models are not ready: {missing}" if missing else "no model could be loaded"
        )

    def _missing(self) -> list[str]:
        models = self._repository.models
        return [n for n in self._required if n not in models or not models[n].ready_versions()]
