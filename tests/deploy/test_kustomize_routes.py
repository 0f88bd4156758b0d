"""Routes lead each request to a replica that has the model, for every model that is shipped."""

import json
from collections.abc import Iterator

import pytest
from grpc_reflection.v1alpha import reflection

from serving.grpc import health, quartet_servicer
from serving.pb.quartet.v1 import quartet_pb2
from tests.deploy.kustomizations import one, overlay
from tests.deploy.routes import grpc_backend, http_backend
from tests.deploy.server_environment import environment_of
from tests.e2e.fixtures import MODEL_REPOSITORY
from tests.e2e.process import ServerProcess

SHARES = ("vision", "text", "images")
INFERENCE = "inference.GRPCInferenceService"
REFLECTION = reflection.SERVICE_NAME
PATHS = {
    "vision": ["/v1/classify/mnist", "/v1/captions/captioner", "/v1/models", "/v2", "/docs"],
    "text": ["/v1/completions", "/v1/sessions", "/v1/sessions/a/completions"],
    "images": ["/v1/images", "/v1/images/generations", "/v1/images/dcgan-faces/critique"],
}
"""Paths of the REST API beside those of the inference protocol."""
CALLS = {
    "Classify": "vision",
    "Caption": "vision",
    "StreamCaption": "vision",
    "CaptionVideo": "vision",
    "GenerateText": "text",
    "GenerateImages": "images",
    "CritiqueImages": "images",
}
"""Typed calls and the shares of their tasks."""


@pytest.fixture(scope="module", params=SHARES)
def share(request: pytest.FixtureRequest) -> Iterator[tuple[str, ServerProcess]]:
    """A share's name, and a ready server with its variables and the models that are shipped."""
    if not MODEL_REPOSITORY.is_dir():
        pytest.skip(f"no models at {MODEL_REPOSITORY}")
    environment = environment_of(overlay("multi-model"), f"quartet-{request.param}")
    started = ServerProcess(MODEL_REPOSITORY, environment=environment)
    try:
        yield request.param, started.wait_ready()
    finally:
        started.close()


def test_routes_lead_to_the_share_that_serves_the_model(share: tuple[str, ServerProcess]) -> None:
    name, server = share
    rest, grpc = (one(overlay("multi-model"), kind) for kind in ("HTTPRoute", "GRPCRoute"))
    stats = server.request("GET", "/v2/models/stats").json()["model_stats"]
    served = {model["name"] for model in stats}
    assert served
    for model in served:
        metadata = {"quartet-model": model}
        assert http_backend(rest, f"/v2/models/{model}/infer") == f"quartet-{name}", model
        assert http_backend(rest, f"/v2/models/{model}") == f"quartet-{name}", model
        assert grpc_backend(grpc, INFERENCE, "ModelInfer", metadata) == f"quartet-grpc-{name}", (
            model
        )


def test_a_share_lists_the_models_that_routes_ask_it_for(
    share: tuple[str, ServerProcess],
) -> None:
    name, server = share
    rest = one(overlay("multi-model"), "HTTPRoute")
    listed = [model["id"] for model in server.request("GET", "/v1/models").json()["data"]]
    wanted = json.loads(environment_of(overlay("multi-model"), f"quartet-{name}")["QUARTET_MODELS"])
    assert sorted(listed) == sorted(wanted)
    for model in listed:
        assert http_backend(rest, f"/v1/models/{model}") == f"quartet-{name}"


def test_every_model_that_is_shipped_is_in_one_share() -> None:
    shared = [
        model
        for name in SHARES
        for model in json.loads(
            environment_of(overlay("multi-model"), f"quartet-{name}")["QUARTET_MODELS"]
        )
    ]
    assert sorted(shared) == sorted(path.name for path in MODEL_REPOSITORY.iterdir())


@pytest.mark.parametrize("name", SHARES)
def test_other_paths_lead_to_the_share_of_their_task(name: str) -> None:
    route = one(overlay("multi-model"), "HTTPRoute")
    assert {http_backend(route, path) for path in PATHS[name]} == {f"quartet-{name}"}


@pytest.mark.parametrize("name", ["full", "multi-model"])
def test_metrics_are_not_for_clients(name: str) -> None:
    assert http_backend(one(overlay(name), "HTTPRoute"), "/metrics") is None


@pytest.mark.parametrize("path", ["/v1/completions", "/v2/health/ready", "/docs", "/openapi.json"])
def test_one_deployment_gets_everything_else(path: str) -> None:
    assert http_backend(one(overlay("full"), "HTTPRoute"), path) == "quartet"


@pytest.mark.parametrize("name", ["full", "multi-model"])
@pytest.mark.parametrize(
    "service", [INFERENCE, quartet_servicer.SERVICE_NAME, health.SERVICE_NAME, REFLECTION]
)
def test_a_service_of_grpc_has_a_route(name: str, service: str) -> None:
    assert grpc_backend(one(overlay(name), "GRPCRoute"), service, "Any", {}) is not None


def test_typed_calls_lead_to_the_share_of_their_task() -> None:
    route = one(overlay("multi-model"), "GRPCRoute")
    methods = quartet_pb2.DESCRIPTOR.services_by_name["Quartet"].methods_by_name
    assert set(methods) == set(CALLS)
    for method, share in CALLS.items():
        found = grpc_backend(route, quartet_servicer.SERVICE_NAME, method, {})
        assert found == f"quartet-grpc-{share}", method


def test_a_route_that_is_shorter_does_not_take_other_models() -> None:
    """``dcgan-mnist`` is the beginning of other names."""
    route = {
        "spec": {
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/v2/models/a"}}],
                    "backendRefs": [{"name": "a"}],
                },
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/v2"}}],
                    "backendRefs": [{"name": "rest"}],
                },
            ]
        }
    }
    assert http_backend(route, "/v2/models/a/infer") == "a"
    assert http_backend(route, "/v2/models/a-b/infer") == "rest"
    assert http_backend(route, "/v3") is None


def test_a_header_alone_loses_against_a_service() -> None:
    """As the specification has it; so routes that look at a header name the service too."""
    by_header = {
        "matches": [{"headers": [{"name": "quartet-model", "value": "a"}]}],
        "backendRefs": [{"name": "a"}],
    }
    by_service = {
        "matches": [{"method": {"service": INFERENCE}}],
        "backendRefs": [{"name": "rest"}],
    }
    route = {"spec": {"rules": [by_header, by_service]}}
    assert grpc_backend(route, INFERENCE, "ModelInfer", {"quartet-model": "a"}) == "rest"
