"""The documentation that the server serves: valid, complete, and readable without a network."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from serving.rest.caption_request import CAPTION_FIELDS, OPTION_FIELDS
from serving.rest.completion_request import COMPLETION_FIELDS
from serving.rest.critique import CRITIQUE_FIELDS
from serving.rest.image_generations import GENERATIONS_FIELDS
from serving.rest.images_form import FORMATS
from serving.rest.images_request import IMAGE_FIELDS
from tests.e2e.process import ServerProcess

pytestmark = pytest.mark.e2e
HOT = (
    "/v1/classify/{model_name}",
    "/v1/captions/{model_name}",
    "/v1/captions/{model_name}/versions/{model_version}",
    "/v2/models/{model_name}/infer",
    "/v2/models/{model_name}/versions/{model_version}/infer",
    "/v2/models/{model_name}/generate",
    "/v2/models/{model_name}/generate_stream",
    "/v2/models/{model_name}/versions/{model_version}/generate",
    "/v2/models/{model_name}/versions/{model_version}/generate_stream",
    "/v1/completions",
    "/v1/sessions/{session_id}/completions",
    "/v1/images/generations",
    "/v1/images/{model_name}",
    "/v1/images/{model_name}/versions/{model_version}",
    "/v1/images/{model_name}/critique",
    "/v1/images/{model_name}/versions/{model_version}/critique",
)


@pytest.fixture(scope="module")
def document(server: ServerProcess) -> dict[str, Any]:
    """The OpenAPI document."""
    answer = server.request("GET", "/openapi.json")
    assert answer.status == 200
    parsed: dict[str, Any] = answer.json()
    return parsed


class Sources(HTMLParser):
    """Collects what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note ``src`` and ``href``."""
        if tag in ("script", "link", "img"):
            self.found += [v for k, v in attrs if k in ("src", "href") and v]


def test_document_is_valid_openapi(document: dict[str, Any]) -> None:
    validator = pytest.importorskip("openapi_spec_validator")
    assert document["openapi"].startswith("3.1")
    validator.validate(document)


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        assert path.startswith("/")
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert operation["responses"], (method, path)
            declared = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
            assert declared == set(re.findall(r"{(\w+)", path)), (method, path)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in references(document):
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


@pytest.mark.parametrize("path", HOT)
def test_hot_routes_are_documented(document: dict[str, Any], path: str) -> None:
    operation = document["paths"][path]["post"]
    assert "application/json" in operation["requestBody"]["content"]
    assert {"200", "400", "404"} <= operation["responses"].keys()


def test_classify_documents_all_its_forms(document: dict[str, Any]) -> None:
    content = document["paths"][HOT[0]]["post"]["requestBody"]["content"]
    assert {"multipart/form-data", "application/json"} <= content.keys()
    assert any(kind.startswith("image/") for kind in content)


def test_captions_document_all_their_forms(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v1/captions/{model_name}"]["post"]
    ways = {"multipart/form-data", "application/json", "image/*", "video/*"}
    assert ways <= operation["requestBody"]["content"].keys()
    answers = operation["responses"]["200"]["content"]
    assert answers.keys() == {"application/json", "text/event-stream", "image/png"}
    assert "406" in operation["responses"]


def test_every_field_of_a_request_for_captions_is_documented(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v1/captions/{model_name}"]["post"]
    schemas = operation["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    assert all(schema["additionalProperties"] is False for schema in schemas)
    assert {name for schema in schemas for name in schema["properties"]} == set(CAPTION_FIELDS)
    queries = {p["name"] for p in operation["parameters"] if p["in"] == "query"}
    assert queries == set(OPTION_FIELDS)


def test_documented_get_paths_exist(server: ServerProcess, document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        if "get" in operations:
            real = path.replace("{model_name}", "fixed").replace("{model_version}", "1")
            answer = server.request("GET", real)
            if "{session_id}" in path:
                assert "session" in answer.error, real
            elif path.startswith("/v1/images/"):
                assert "does not make pictures" in answer.error, real
            else:
                assert answer.status == 200, real


@pytest.mark.parametrize(
    "path", [path for path in HOT if re.search("stream|completion|caption", path)]
)
def test_streams_are_documented(document: dict[str, Any], path: str) -> None:
    assert "text/event-stream" in document["paths"][path]["post"]["responses"]["200"]["content"]


def test_every_field_of_a_completion_is_documented(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v1/completions"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["additionalProperties"] is False
    refused_by_name = {"suffix", "logit_bias"}
    assert schema["properties"].keys() == set(COMPLETION_FIELDS) - refused_by_name


@pytest.mark.parametrize("suffix", ["", "/versions/{model_version}"])
def test_pictures_document_their_parameters_and_formats(
    document: dict[str, Any], suffix: str
) -> None:
    operations = document["paths"]["/v1/images/{model_name}" + suffix]
    for operation in operations.values():
        queries = {p["name"] for p in operation["parameters"] if p["in"] == "query"}
        assert queries == set(IMAGE_FIELDS)
        assert operation["responses"]["200"]["content"].keys() == set(FORMATS.values())
    bodies = operations["post"]["requestBody"]["content"].values()
    assert all(body["schema"]["properties"].keys() == set(IMAGE_FIELDS) for body in bodies)


def test_every_field_of_a_critique_is_documented(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v1/images/{model_name}/critique"]["post"]
    schemas = operation["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    assert {name for schema in schemas for name in schema["properties"]} == set(CRITIQUE_FIELDS)


def test_every_field_of_a_generation_is_documented(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v1/images/generations"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["additionalProperties"] is False
    assert schema["properties"].keys() == set(GENERATIONS_FIELDS) - {"style"}


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_page_loads_nothing_from_elsewhere(server: ServerProcess, page: str) -> None:
    answer = server.request("GET", page)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/html")
    sources = Sources()
    sources.feed(answer.body.decode())
    assert sources.found
    for source in sources.found:
        assert source.startswith("/"), f"{page} loads {source}"
        found = server.request("GET", source)
        assert found.status == 200, source
        assert found.body, source


def references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [r for value in node.values() for r in references(value)]
    if isinstance(node, list):
        return [r for value in node for r in references(value)]
    return []
