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

    def started(self) -> bool:
        """Whether every model has been tried, whatever became of it."""
        return self._repository.loaded

    def ready(self) -> bool:
        """Whether requests should be sent here.

        False while models load, while draining, while a required model is not ready, and if no
        model at all could be loaded from a repository that has some.
        """
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
        repository = self._repository
        required = dict.fromkeys((*self._required, *repository.named))
        return [name for name in required if not repository.ready_versions(name)]
