"""JSON Schemas (draft-07) of the resource collections, from their types; scripts/reference.py writes docs/schemas/.

They say what the types say: members, types, ranges, enumerations, patterns. What members demand of each other is
checked when a document is loaded and is in no schema.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import inspect

from fastgw.resources.base import INTERNAL_TAG
from fastgw.resources.kinds import Kind


def schema(kind: Kind) -> dict[str, Any]:
    """The schema of one entry as it is stored, that is with ids in place of names."""
    writer = _Writer(kind)
    top = writer.type(inspect.type_info(kind.struct), {})
    if "$ref" in top:
        top = writer.definitions.pop(top["$ref"].rsplit("/", 1)[1])
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": kind.name}
    tail = {"definitions": dict(sorted(writer.definitions.items()))} if writer.definitions else {}
    return {**head, **top, **tail}


class _Writer:
    """Collects the definitions that one schema refers to."""

    def __init__(self, kind: Kind) -> None:
        self.definitions: dict[str, dict[str, Any]] = {}
        self._kind = kind

    def type(self, kind: inspect.Type, extra: Mapping[str, Any]) -> dict[str, Any]:
        """The schema of a type; Structs become definitions."""
        if isinstance(kind, inspect.Metadata):
            return self.type(kind.type, {**extra, **(kind.extra or {})})
        if isinstance(kind, inspect.UnionType):
            options = [self.type(option, {}) for option in kind.types if not isinstance(option, inspect.NoneType)]
            null = [{"type": "null"}] if kind.includes_none and extra.get("nullable") is not False else []
            return options[0] if len(options) == 1 and not null else {"anyOf": [*options, *null]}
        if isinstance(kind, inspect.StructType):
            return self._struct(kind)
        if isinstance(kind, inspect.VarTupleType):
            bounds = {"minItems": kind.min_length, "maxItems": kind.max_length}
            return {"type": "array", "items": self.type(kind.item_type, {}), **_given(bounds)}
        if isinstance(kind, inspect.DictType):
            return {"type": "object", "additionalProperties": self.type(kind.value_type, {})}
        if isinstance(kind, inspect.LiteralType):
            return {"type": "string", "enum": list(kind.values)}
        if isinstance(kind, inspect.StrType):
            limits = {"minLength": kind.min_length, "maxLength": kind.max_length, "pattern": kind.pattern}
            return {"type": "string", **_given({**limits, "format": extra.get("format")})}
        if isinstance(kind, inspect.IntType | inspect.FloatType):
            name = "integer" if isinstance(kind, inspect.IntType) else "number"
            return {"type": name, **_given({"minimum": kind.ge, "maximum": kind.le, "format": extra.get("format")})}
        if isinstance(kind, inspect.BoolType):
            return {"type": "boolean", **({"enum": [True]} if extra.get("only") else {})}
        return {}

    def _struct(self, kind: inspect.StructType) -> dict[str, Any]:
        name = kind.cls.__name__
        reference = {"$ref": f"#/definitions/{name}"}
        if name in self.definitions:
            return reference
        written: dict[str, Any] = {"type": "object", "additionalProperties": not kind.forbid_unknown_fields}
        self.definitions[name] = written
        properties, required = {}, []
        if kind.tag_field not in (None, INTERNAL_TAG):
            properties[str(kind.tag_field)] = {"type": "string", "enum": [kind.tag]}
            required.append(str(kind.tag_field))
        aliases = self._kind.aliases if kind.cls is self._kind.struct else ()
        strict: frozenset[str] = getattr(kind.cls, "STRICT_REQUIRED", frozenset())
        for field in kind.fields:
            member = self.type(field.type, {})
            if field.default not in (msgspec.NODEFAULT, None):
                member = {**member, "default": msgspec.to_builtins(field.default)}
            spellings = [alias for alias, canonical in aliases if canonical == field.encode_name]
            properties.update(dict.fromkeys([field.encode_name, *spellings], member))
            if (field.required or field.encode_name in strict) and not spellings:
                required.append(field.encode_name)
            elif field.required:
                written["anyOf"] = [{"required": [spelling]} for spelling in (field.encode_name, *spellings)]
        written["properties"] = properties
        if required:
            written["required"] = required
        return reference


def _given(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
