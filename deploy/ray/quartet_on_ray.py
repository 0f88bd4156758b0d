"""Quartet's models inside Ray Serve: each replica is a Quartet server without ports.

Ray's proxies take the requests and choose replicas; batching, limits, checks and the whole REST API
are Quartet's own. Other deployments of an application call ``Quartet.infer`` through a handle, with
arrays.

Both Quartet and this file must be importable on every node. See docs/scaling.md.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import ray
from prometheus_client import CollectorRegistry
from pydantic import Field
from ray import serve

from quartet.config import Config, load_config
from serving.application import Application
from serving.errors import InvalidInput
from serving.rest.app import RestApp
from serving.rest.http import Message, Receive, Scope, Send
from serving.settings import ServerSettings
from serving.types import DATATYPES, Datatype, InferRequest, Tensor

REPLICA_HEADER = b"x-quartet-replica"


@serve.deployment
@serve.ingress()
class Quartet:
    """One replica: the models of a repository, on the CPUs and the GPU that Ray gave the actor."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Wire the server.

        Args:
            settings: of ``quartet serve`` (docs/operations.md); ``QUARTET_*`` variables of the node
                win over them. Those of ports and of the drain have no meaning here.
        """
        # Ray reserves CPUs and limits nobody, so the engine has to be told.
        threads = {"threads": max(1, math.ceil(_assigned("CPU")))}
        loaded = load_config(
            ServerSettings,
            (),
            prog="quartet",
            env_prefix="QUARTET_",
            defaults={**threads, **settings},
        )
        self._application = Application(loaded, CollectorRegistry())

    async def __serve_build_asgi_app__(self) -> "WithReplica":
        """Load the models; the replica takes requests when this returns."""
        self._application.start()
        await self._application.load_models()
        reason = self._application.service.why_not_ready()
        if reason:
            # Ray shows it in the deployment's status, and keeps the replicas of before.
            raise RuntimeError(f"Quartet is not ready: {reason}")
        return WithReplica(self._application.rest)

    def check_health(self) -> None:
        """Ray asks periodically, and replaces a replica that raises."""
        if not self._application.service.live():
            raise RuntimeError("Quartet is not live")

    async def infer(
        self, model: str, inputs: Mapping[str, np.ndarray], version: str = ""
    ) -> dict[str, np.ndarray]:
        """Run tensors through a model, for other deployments.

        Args:
            model: its name.
            inputs: input name -> array with the batch in front, in the input's datatype.
            version: digits; empty for the highest.

        Returns: output name -> array.

        Raises:
            ServingError: of Quartet, whose text says what was wrong.
        """
        tensors = {
            name: Tensor(_datatype(array), np.ascontiguousarray(array))
            for name, array in inputs.items()
        }
        request = InferRequest(model_name=model, model_version=version, inputs=tensors)
        response = await self._application.service.infer(request)
        return {name: tensor.data for name, tensor in response.outputs.items()}

    async def __del__(self) -> None:
        """Ray has waited for the requests in flight."""
        self._application.close()


class WithReplica:
    """Says in each answer which replica gave it: texts in sessions live in one of them."""

    def __init__(self, app: RestApp) -> None:
        self._app = app
        replica = serve.get_replica_context().replica_id.unique_id
        self._header = (REPLICA_HEADER, f"{ray.util.get_node_ip_address()}/{replica}".encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope."""

        async def send_with_replica(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], self._header]
            await send(message)

        await self._app(scope, receive, send_with_replica)


class Arguments(Config):
    """Arguments of the application in Ray's configuration file."""

    settings: dict[str, Any] = Field(default_factory=dict)
    """Of ``quartet serve``, the same in all replicas."""


def build(arguments: Arguments) -> serve.Application:
    """The application; ``import_path`` of the configuration file names this function."""
    return Quartet.bind(arguments.settings)  # type: ignore[attr-defined]  # the decorator adds it


def _datatype(array: np.ndarray) -> Datatype:
    """Of the protocol. Raises InvalidInput for an array that has none."""
    for datatype in DATATYPES.values():
        if datatype.dtype == array.dtype:
            return datatype
    raise InvalidInput(f"arrays of {array.dtype} are no tensors of the protocol")


def _assigned(resource: str) -> float:
    """How much of a resource Ray has reserved for this actor."""
    return float(ray.get_runtime_context().get_assigned_resources().get(resource, 0.0))
