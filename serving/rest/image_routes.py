"""Where ``/v1/images/...`` leads. The list of generators is FastAPI's, see ``image_models``."""

from collections.abc import Sequence

from serving.rest.api_errors import api_error_reply
from serving.rest.critique import Critiques
from serving.rest.http import Receive, Reply, Scope
from serving.rest.image_generations import ImageGenerations
from serving.rest.images import Images
from serving.rest.routes import Route, Target, is_version
from serving.service import InferenceService

PICTURE_METHODS = ("GET", "HEAD", "POST")


class ImageRoutes:
    """``{m}[/versions/{v}]``, the same with ``/critique`` behind it, and ``generations``."""

    def __init__(self, service: InferenceService, *, max_body_bytes: int) -> None:
        self._images = Images(service, max_body_bytes=max_body_bytes)
        self._critiques = Critiques(service, max_body_bytes=max_body_bytes)
        self._generations = ImageGenerations(service, max_body_bytes=max_body_bytes)

    def find(self, path: Sequence[str]) -> Route | None:
        """The route of the parts of a path behind ``/v1/images``; None: there is none here."""
        match path:
            case ["generations"]:
                return Route(self._generate, Target(), api_error_reply)
            case [model] if model:
                return Route(self._make, Target(model), methods=PICTURE_METHODS)
            case [model, "critique"]:
                return Route(self._criticise, Target(model))
            case [model, "versions", version] if is_version(version):
                return Route(self._make, Target(model, version), methods=PICTURE_METHODS)
            case [model, "versions", version, "critique"] if is_version(version):
                return Route(self._criticise, Target(model, version))
        return None

    async def _make(self, scope: Scope, receive: Receive, target: Target, rid: str) -> Reply:
        return await self._images.answer(scope, receive, (target.model, target.version), rid)

    async def _criticise(self, scope: Scope, receive: Receive, target: Target, rid: str) -> Reply:
        return await self._critiques.answer(scope, receive, (target.model, target.version), rid)

    async def _generate(self, scope: Scope, receive: Receive, target: Target, rid: str) -> Reply:
        return await self._generations.answer(scope, receive, rid)
