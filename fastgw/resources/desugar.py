"""What the resources file may write instead of the stored form: names for ids, and where a caller's key comes from.

Each function turns the (already interpolated) entry into the stored document in place and yields what is wrong with it.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from fastgw.resources.interpolate import is_unicode
from fastgw.resources.report import names_list, quoted

_VIRTUAL_SHAPES: Final = {"routing": "routing groups", "ensemble": "ensembles", "semantic": "semantic routers"}


class Context(NamedTuple):
    """``names``: kind → identity → id, for every entry of the file whose identity could be read."""

    names: Mapping[str, Mapping[str, str]]
    environ: Mapping[str, str]


def desugar_model(entry: dict[str, object], context: Context) -> Iterator[str]:
    for shape, label in _VIRTUAL_SHAPES.items():
        if shape in entry:
            yield f"{label} are not available in this version"
            return
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


def _by_name(
    entry: dict[str, object], sugar: str, target: str, kind: str, label: str, context: Context, within: str = ""
) -> Iterator[str]:
    """Replace the name under ``sugar`` by the id under ``target``. ``within`` is the path of ``entry``, dotted."""
    if sugar not in entry:
        return
    name = entry.pop(sugar)
    known = context.names[kind]
    if target in entry:
        yield f"`{within}{sugar}` (a name reference) and `{within}{target}` are mutually exclusive — set exactly one"
    elif not isinstance(name, str):
        yield f"schema validation failed at `/{within.replace('.', '/')}{sugar}`: expected a string"
    elif name in known:
        entry[target] = known[name]
    else:
        defined = f"defined {kind}: {names_list(known)}" if known else f"no {kind} are defined in this file"
        yield f"`{within}{sugar}` references unknown {label} {quoted(name)} ({defined})"
