"""What the resources file may write instead of the stored form: names for ids, and where a caller's key comes from.

Each function turns the (already interpolated) entry into the stored document in place and yields what is wrong with it.
"""

import hashlib
from collections.abc import Generator, Iterator, Mapping
from typing import Final, NamedTuple

from fastgw.resources.interpolate import is_unicode
from fastgw.resources.report import Names, quoted

NAMED_DIMENSIONS: Final[Mapping[str, tuple[str, str]]] = {
    "api_key": ("api_keys", "api key"),
    "model": ("models", "model"),
}
"""What policies refer to by id and files by name: the collection, and what messages call it."""


class Context(NamedTuple):
    """``names`` of every entry of the file whose identity could be read."""

    names: Names
    environ: Mapping[str, str]


def desugar_model(entry: dict[str, object], context: Context) -> Iterator[str]:
    yield from _by_name(entry, "provider_key", "provider_key_id", "provider_keys", "provider key", context)


def desugar_api_key(entry: dict[str, object], context: Context) -> Iterator[str]:
    """The name is file-only, and a plaintext key leaves nothing but its hash."""
    entry.pop("display_name")
    if "key_env" not in entry:
        if "key_hash" not in entry:
            yield (
                "one of `key_env` (an environment variable that holds the key) or `key_hash` (the SHA-256 of the key,"
                " in hex) is required"
            )
        return
    variable = entry.pop("key_env")
    if "key_hash" in entry:
        yield "`key_env` and `key_hash` are mutually exclusive — set exactly one"
    elif not isinstance(variable, str):
        yield "schema validation failed at `/key_env`: expected a string"
    elif not (plaintext := context.environ.get(variable)):
        yield f"`key_env` environment variable `{variable}` is unset or empty"
    elif "${" in plaintext:
        yield (
            f"`key_env` environment variable `{variable}` contains an uninterpolated `${{...}}` reference; it must hold"
            " the key itself"
        )
    elif not is_unicode(plaintext):
        yield f"`key_env` environment variable `{variable}` is not valid UTF-8"
    else:
        entry["key_hash"] = hashlib.sha256(plaintext.encode()).hexdigest()


def desugar_claim_mapping(entry: dict[str, object], context: Context) -> Iterator[str]:
    resolve = entry.get("resolve")
    if isinstance(resolve, dict):
        yield from _by_name(resolve, "api_key", "api_key_id", "api_keys", "api key", context, "resolve.")


def desugar_passthrough_route(entry: dict[str, object], context: Context) -> Iterator[str]:
    yield from _by_name(entry, "provider_key", "provider_key_id", "provider_keys", "provider key", context)
    yield from _by_name(entry, "anonymous_key", "anonymous_key_id", "api_keys", "api key", context)


def desugar_rate_limit_policy(entry: dict[str, object], context: Context) -> Iterator[str]:
    """Names of keys and models become ids, in ``scope_ref`` and in conditions at any depth."""
    scope, reference = entry.get("scope"), entry.get("scope_ref")
    if isinstance(scope, str) and scope in NAMED_DIMENSIONS and isinstance(reference, str):
        entry["scope_ref"] = yield from _resolve(reference, "scope_ref", *NAMED_DIMENSIONS[scope], context)
    yield from _desugar_conditions(entry.get("conditions"), "conditions", context)


def _desugar_conditions(nodes: object, path: str, context: Context) -> Iterator[str]:
    for index, node in enumerate(nodes if isinstance(nodes, list) else ()):
        if not isinstance(node, dict):
            continue
        place = f"{path}[{index}]"
        named = NAMED_DIMENSIONS.get(dimension) if isinstance(dimension := node.get("dimension"), str) else None
        value = node.get("value")
        if named is not None and isinstance(value, str):
            node["value"] = yield from _resolve(value, f"{place}.value", *named, context)
        elif named is not None and isinstance(value, list):
            for position, item in enumerate(value):
                if isinstance(item, str):
                    value[position] = yield from _resolve(item, f"{place}.value[{position}]", *named, context)
        yield from _desugar_conditions(node.get("children"), f"{place}.children", context)


def _by_name(
    entry: dict[str, object], sugar: str, target: str, kind: str, label: str, context: Context, within: str = ""
) -> Iterator[str]:
    """Replace the name under ``sugar`` by the id under ``target``. ``within`` is the path of ``entry``, dotted."""
    if sugar not in entry:
        return
    name = entry.pop(sugar)
    if target in entry:
        yield f"`{within}{sugar}` (a name reference) and `{within}{target}` are mutually exclusive — set exactly one"
    elif not isinstance(name, str):
        yield f"schema validation failed at `/{within.replace('.', '/')}{sugar}`: expected a string"
    else:
        entry[target] = yield from _resolve(name, f"{within}{sugar}", kind, label, context)


def _resolve(name: str, field: str, kind: str, label: str, context: Context) -> Generator[str, None, str]:
    """The id of a name; the name itself when nothing has it, which is said."""
    known = context.names.ids(kind)
    if name not in known:
        listed = context.names.listed(kind)
        defined = f"defined {kind}: {listed}" if listed else f"no {kind} are defined in this file"
        yield f"`{field}` references unknown {label} {quoted(name)} ({defined})"
    return known.get(name, name)
