"""The part of the chart's ``values.schema.json`` that the server's settings define.

``python -m tests.deploy.helm_settings`` writes it anew after a setting was added or changed.
"""

import json
from pathlib import Path
from typing import Any

from serving.settings import ServerSettings

CHART = Path(__file__).resolve().parents[2] / "deploy" / "helm" / "quartet"
SCHEMA = CHART / "values.schema.json"
RESERVED = {
    "QUARTET_MODEL_REPOSITORY": "models.path",
    "QUARTET_MODELS": "models.names",
    "QUARTET_REQUIRED_MODELS": "models.required",
    "QUARTET_HTTP_PORT": "the container's port, always 8000",
    "QUARTET_GRPC_PORT": "the container's port, always 8001",
    "QUARTET_METRICS_PORT": "the container's port, always 8002",
    "QUARTET_DEVICE": "gpu.enabled",
    "QUARTET_DRAIN_DELAY_S": "drain.delaySeconds",
    "QUARTET_DRAIN_TIMEOUT_S": "drain.timeoutSeconds",
    "QUARTET_GENERATION__SESSION_KEY": "secret.sessionKey, secret.existingSecret",
}
"""Settings that ``settings`` refuses, and the values that decide them."""
KEPT = (
    "type",
    "enum",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "items",
    "description",
)
"""Keywords of pydantic's schema that mean the same in the chart's."""


def settings_schema() -> dict[str, Any]:
    """Schema of the value ``settings``: one property for each variable that it may hold."""
    schema = ServerSettings.model_json_schema()
    properties = _variables(schema, schema["$defs"], "QUARTET_")
    return {
        "type": "object",
        "additionalProperties": False,
        "description": "Settings of the server by their environment variables.",
        "properties": {
            name: properties[name] for name in sorted(properties) if name not in RESERVED
        },
    }


def _variables(
    section: dict[str, Any], sections: dict[str, Any], prefix: str
) -> dict[str, dict[str, Any]]:
    """Properties of a section by variable; sections within it are joined by two underscores."""
    found: dict[str, dict[str, Any]] = {}
    for name, field in section["properties"].items():
        variable = f"{prefix}{name.upper()}"
        if "$ref" in field:
            inner = sections[field["$ref"].rpartition("/")[2]]
            found |= _variables(inner, sections, f"{variable}__")
        else:
            found[variable] = _property(field)
    return found


def _property(field: dict[str, Any]) -> dict[str, Any]:
    """A setting's schema. One that may be absent is absent from the values, never null."""
    choices = [choice for choice in field.get("anyOf", []) if choice != {"type": "null"}]
    if len(choices) > 1:
        raise TypeError(f"a setting with several types needs a schema of its own: {field}")
    merged = {**field, **(choices[0] if choices else {})}
    merged["description"] = " ".join(field["description"].split())
    return {key: merged[key] for key in KEPT if key in merged}


def main() -> None:
    """Rewrite the file's definition of the settings."""
    schema = json.loads(SCHEMA.read_text())
    schema["$defs"]["settings"] = settings_schema()
    SCHEMA.write_text(json.dumps(schema, indent=2) + "\n")


if __name__ == "__main__":
    main()
