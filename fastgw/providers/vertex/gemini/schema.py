"""JSON Schemas as Gemini takes them: a subset of OpenAPI 3.0's, without references.

(https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/Schema)
"""

import json
from typing import Any, Final

MAX_COPIED: Final = 4_000_000
"""What all references of a request may stand for together, in bytes, with COST for every member and every schema: it
may be exponentially much. What comes later accepts anything."""
MAX_DEPTH: Final = 40
"""References inside of each other. What is deeper accepts anything; the library that writes it has an end as well."""
COST: Final = 16

_KEPT: Final = frozenset(
    {
        *("type", "description", "nullable", "propertyOrdering", "pattern", "example"),
        *("minItems", "maxItems", "minProperties", "maxProperties", "minimum", "maximum", "minLength", "maxLength"),
    }
)
"""Members that are the same there; a member that the API does not know makes it refuse the request."""
_WRITTEN: Final = _KEPT | {"enum", "const", "required"}
"""Members whose values are written as they are."""
_FORMATS: Final = {
    "string": frozenset({"date-time", "enum"}),
    "number": frozenset({"float", "double"}),
    "integer": frozenset({"int32", "int64"}),
}


class Room:
    """How much of MAX_COPIED is left."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_COPIED

    def take(self, size: int) -> bool:
        """Whether there is that much; it is gone then."""
        self.left -= size
        return self.left >= 0


def cleaned(schema: dict[str, Any], room: Room | None = None) -> dict[str, Any]:
    """The schema without what Gemini refuses. References are replaced by what they refer to; a schema that contains
    itself ends there in one that accepts any object. Schemas of one request share their `room`."""
    return _Cleaner(schema, room or Room()).clean(schema, frozenset())


class _Cleaner:
    """Cleans the schemas of one document."""

    def __init__(self, root: dict[str, Any], room: Room) -> None:
        self._root = root
        self._room = room
        self._targets: dict[str, dict[str, Any]] = {}

    def clean(self, schema: dict[str, Any], within: frozenset[str]) -> dict[str, Any]:
        """`within`: the references that led here."""
        return self._settled(self._collected(schema, within))

    def _collected(self, schema: dict[str, Any], within: frozenset[str]) -> dict[str, Any]:
        while isinstance(reference := schema.get("$ref"), str):
            if reference in within:
                return {"type": "object"}
            within |= {reference}
            target = self._target(reference)
            if len(within) > MAX_DEPTH or not self._room.take(COST * (1 + len(target))):
                return {}
            schema = {**target, **{name: value for name, value in schema.items() if name != "$ref"}}
        if within and not self._room.take(COST * (1 + len(schema))):
            return {}
        made: dict[str, Any] = {}
        for name, value in schema.items():
            if not within or self._room.take(_size(name, value)):
                self._member(made, name, value, schema, within)
        return made

    def _target(self, reference: str) -> dict[str, Any]:
        found = self._targets.get(reference)
        if found is None:
            found = self._targets[reference] = _resolve(reference, self._root)
        return found

    def _member(
        self, made: dict[str, Any], name: str, value: Any, schema: dict[str, Any], within: frozenset[str]
    ) -> None:
        if name == "const" or (name == "enum" and isinstance(value, list)):
            values = [value] if name == "const" else value
            if None in values:
                made["nullable"] = True
            if words := [_word(one) for one in values if one is not None]:
                made["enum"] = words
        elif name == "properties" and isinstance(value, dict):
            members = {key: self.clean(of, within) for key, of in value.items() if isinstance(of, dict)}
            if members:
                made.setdefault("properties", {}).update(members)
        elif name == "items" and isinstance(value, dict):
            made["items"] = self.clean(value, within)
        elif name in ("anyOf", "oneOf", "allOf") and isinstance(value, list):
            self._variants(made, name, value, within)
        elif name == "type" and isinstance(value, list):
            _add_types(made, value)
        elif name == "format":
            if isinstance(value, str) and value in _FORMATS.get(str(schema.get("type")), frozenset()):
                made["format"] = value
        elif name == "required" and isinstance(value, list):
            made.setdefault("required", []).extend(value)
        elif name in _KEPT:
            made[name] = value

    def _variants(self, made: dict[str, Any], name: str, variants: list[Any], within: frozenset[str]) -> None:
        found = [variant for variant in variants if isinstance(variant, dict)]
        others = [variant for variant in found if variant.get("type") != "null"]
        if len(others) < len(found):
            made["nullable"] = True
        if len(others) > 1 and name != "allOf":
            made["anyOf"] = [self.clean(variant, within) for variant in others]
            return
        for variant in others:
            part = self._collected(variant, within)
            if "properties" in part and "properties" in made:
                known = made["properties"]
                known.update((key, value) for key, value in part["properties"].items() if key not in known)
            if "required" in part and "required" in made:
                made["required"] += part["required"]
            made.update({key: value for key, value in part.items() if key not in made})

    def _settled(self, made: dict[str, Any]) -> dict[str, Any]:
        """A schema without what the API refuses about its members together."""
        if "anyOf" in made:
            if "properties" in made or "items" in made:
                del made["anyOf"]  # conditions about what is described beside them
            else:
                # Variants must stand alone: what holds for all of them goes into each.
                shared = {name: made[name] for name in ("type", "description", "nullable") if name in made}
                if not self._room.take(len(repr(shared)) * len(made["anyOf"])):
                    shared = {}
                return {
                    "anyOf": [variant if "anyOf" in variant else {**shared, **variant} for variant in made["anyOf"]]
                }
        if "required" in made:
            known = made.get("properties", {})
            made["required"] = [name for name in dict.fromkeys(map(str, made["required"])) if name in known]
            if not made["required"]:
                del made["required"]
        if made.get("type") == "array" and not made.get("items"):
            made["items"] = {"type": "string"}
        return made


def _size(name: str, value: object) -> int:
    """What a member costs in the place of a reference, beside the schemas that it holds."""
    if name in _WRITTEN:
        return len(repr(value))
    return len(value) if isinstance(value, dict | list) else 0


def _word(value: object) -> str:
    """A value of an enumeration, which are texts there whatever the type is."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _add_types(made: dict[str, Any], types: list[Any]) -> None:
    """`type: [T, "null"]` is a nullable T; several others are variants."""
    others = [name for name in types if name != "null"]
    if len(others) < len(types):
        made["nullable"] = True
    if len(others) == 1:
        made["type"] = others[0]
    elif others:
        made["anyOf"] = [{"type": name} for name in others]


def _resolve(reference: str, root: dict[str, Any]) -> dict[str, Any]:
    """What a reference inside the document refers to (RFC 6901); anything else accepts everything."""
    found: Any = root
    if not reference.startswith("#"):
        return {}
    for segment in reference[1:].split("/")[1:]:
        key = segment.replace("~1", "/").replace("~0", "~")
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
