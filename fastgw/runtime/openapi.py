"""The OpenAPI document of the admin listener. What resources look like comes from their types."""

from typing import Any

import msgspec

from fastgw.resources.base import INTERNAL_TAG
from fastgw.resources.kinds import KINDS
from fastgw.runtime.shown import COLLECTIONS, PROJECTED, SPELLINGS

REF = "#/components/schemas/{name}"
OPEN: list[dict[str, list[str]]] = []
GATEWAY_KEY: list[dict[str, list[str]]] = [{"gatewayKey": []}]
LEVELS = ["ok", "degraded", "unhealthy"]
TIME = {
    "type": "object",
    "required": ["secs_since_epoch", "nanos_since_epoch"],
    "properties": {"secs_since_epoch": {"type": "integer"}, "nanos_since_epoch": {"type": "integer"}},
}


def document(title: str, version: str) -> dict[str, Any]:
    """The whole document (OpenAPI 3.1.0). O(types)."""
    schemas, values = resource_schemas()
    paths: dict[str, Any] = {
        "/livez": {"get": probe("Whether the process runs")},
        "/readyz": {"get": probe("Whether traffic is welcome")},
        "/admin/openapi.json": {"get": page("This document", "application/json", {"type": "object"})},
        "/admin/openapi-scalar": {"get": page("This document for people", "text/html", {"type": "string"})},
    }
    for name in [*COLLECTIONS, *SPELLINGS]:
        kind = SPELLINGS.get(name, name)
        schemas[f"Stored_{kind}"] = stored(values[kind])
        paths[f"/admin/v1/{name}"] = {"get": listing(name, kind)}
        paths[f"/admin/v1/{name}/{{id}}"] = {"get": item(name, kind)}
    status = guarded("models_status", "The state of every model", ref("ModelStatuses"))
    health = guarded("health", "Models that fail, and the age of the configuration", ref("Health"))
    paths["/admin/v1/models/status"] = {"get": status}
    paths["/admin/v1/health"] = {"get": health}
    paths["/playground/chat/completions"] = {"post": playground()}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": "Read-only. Keys: `admin.admin_keys`."},
        "security": [{"adminKey": []}, {"adminKeyHeader": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "adminKey": {"type": "http", "scheme": "bearer"},
                "adminKeyHeader": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "gatewayKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of a caller, not of an admin.",
                },
            },
            "schemas": {**schemas, **STATE_SCHEMAS},
        },
    }


def resource_schemas() -> tuple[dict[str, Any], dict[str, Any]]:
    """(components, schema of the value by collection)."""
    kinds = [kind for kind in KINDS if kind.name in COLLECTIONS]
    outlines, components = msgspec.json.schema_components([kind.struct for kind in kinds], ref_template=REF)
    schemas = {name: without_tag(schema) for name, schema in components.items()}
    values = dict(zip((kind.name for kind in kinds), map(without_tag, outlines), strict=True))
    for name, fields in PROJECTED.items():
        # A projection is no resource type of its own: the fields of the type that it keeps.
        whole = schemas[values[name]["$ref"].rpartition("/")[2]]
        kept = {field: whole["properties"][field] for field in fields}
        required = [field for field in whole.get("required", []) if field in fields]
        schemas[f"Projected_{name}"] = {"type": "object", "properties": kept, "required": required}
        values[name] = ref(f"Projected_{name}")
    return schemas, values


def without_tag(schema: Any) -> Any:
    """A schema without the tag by which types are told apart that documents tell apart by their members."""
    if isinstance(schema, list):
        return [without_tag(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    cleaned = {key: without_tag(value) for key, value in schema.items()}
    if isinstance(cleaned.get("properties"), dict) and "const" in cleaned["properties"].get(INTERNAL_TAG, {}):
        del cleaned["properties"][INTERNAL_TAG]
        cleaned["required"] = [name for name in cleaned.get("required", []) if name != INTERNAL_TAG]
    if isinstance(schema.get("discriminator"), dict) and schema["discriminator"].get("propertyName") == INTERNAL_TAG:
        del cleaned["discriminator"]
    return cleaned


def ref(name: str) -> dict[str, str]:
    return {"$ref": REF.format(name=name)}


def stored(value: dict[str, Any]) -> dict[str, Any]:
    """A resource with its id and revision."""
    return {
        "type": "object",
        "required": ["id", "value", "revision"],
        "properties": {"id": {"type": "string"}, "value": value, "revision": {"type": "integer", "minimum": 0}},
    }


def content(media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {media_type: {"schema": schema}}


def answer(description: str, media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": content(media_type, schema)}


def page(summary: str, media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    """An operation without a key."""
    return {"summary": summary, "security": OPEN, "responses": {"200": answer("The page", media_type, schema)}}


def probe(summary: str) -> dict[str, Any]:
    """/livez or /readyz."""
    operation = page(summary, "text/plain", {"type": "string"})
    operation["parameters"] = [
        {"name": "verbose", "in": "query", "allowEmptyValue": True, "schema": {"type": "string"}}
    ]
    operation["responses"]["503"] = answer("It is not so", "text/plain", {"type": "string"})
    return operation


def guarded(name: str, summary: str, schema: dict[str, Any]) -> dict[str, Any]:
    """An operation that needs an admin key."""
    error = ref("Error")
    return {
        "operationId": name,
        "summary": summary,
        "responses": {
            "200": answer("What was asked for", "application/json", schema),
            "401": answer("No admin key", "application/json", error),
            "500": answer("The store did not answer", "application/json", error),
        },
    }


def listing(name: str, kind: str) -> dict[str, Any]:
    """The list of a collection."""
    return guarded(f"list_{name}", f"All of {kind}", {"type": "array", "items": ref(f"Stored_{kind}")})


def item(name: str, kind: str) -> dict[str, Any]:
    """One resource of a collection."""
    operation = guarded(f"get_{name}", f"One of {kind}", ref(f"Stored_{kind}"))
    operation["parameters"] = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
    operation["responses"]["404"] = answer("There is none with this id", "application/json", ref("Error"))
    return operation


def playground() -> dict[str, Any]:
    """The chat endpoint of the gateway, from here."""
    return {
        "operationId": "playground_chat",
        "summary": "A chat completion, handled like one on the listener for callers",
        "security": GATEWAY_KEY,
        "requestBody": {
            "required": True,
            "content": content(
                "application/json",
                {
                    "type": "object",
                    "required": ["model", "messages"],
                    "properties": {
                        "model": {"type": "string"},
                        "messages": {"type": "array", "items": {"type": "object"}},
                        "stream": {"type": "boolean"},
                    },
                },
            ),
        },
        "responses": {
            "200": {
                "description": "The answer, as a whole or as a stream",
                "content": {
                    **content("application/json", {"type": "object"}),
                    **content("text/event-stream", {"type": "string"}),
                },
            },
            "default": answer("An error of the gateway", "application/json", {"type": "object"}),
        },
    }


STATE_SCHEMAS: dict[str, Any] = {
    "Error": {"type": "object", "required": ["error_msg"], "properties": {"error_msg": {"type": "string"}}},
    "ModelStatuses": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["id", "display_name", "kind", "status"],
            "properties": {
                "id": {"type": "string"},
                "display_name": {"type": "string"},
                "kind": {"enum": ["direct", "routing", "ensemble", "semantic"]},
                "status": {"enum": ["healthy", "unhealthy", "cooldown", "not_applicable"]},
                "cooldown_until": TIME,
                "last_checked_at": TIME,
                "last_check_status": {"type": "integer"},
                "status_reason": {"type": "string"},
            },
        },
    },
    "Health": {
        "type": "object",
        "required": ["status", "models"],
        "properties": {
            "status": {"enum": LEVELS},
            "models": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["id", "name", "health"],
                    "properties": {
                        "id": {"type": "string"},
                        "name": {"type": "string"},
                        "health": {"enum": [0, 1, 2], "description": "0 below 4 failures in a row, 1 from 4, 2 from 8"},
                    },
                },
            },
            "config": {
                "type": "object",
                "required": ["snapshot_revision", "snapshot_age_seconds"],
                "properties": {
                    "snapshot_revision": {"type": "integer"},
                    "snapshot_age_seconds": {"type": ["integer", "null"]},
                },
            },
        },
    },
}
