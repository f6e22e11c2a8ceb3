"""Environment overrides: ``FASTGW_PROXY__ADDR=…`` sets ``proxy.addr``.

Both ``FASTGW_`` and the upper-cased namespace are prefixes; the former wins. A variable with either prefix that names
no key is an error, so that a misspelt override cannot go unnoticed.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import inspect

from fastgw.config.coerce import is_scalar_list, unwrap
from fastgw.config.errors import ConfigError

_PREFIX: Final = "FASTGW_"
# They say where the file is, and are no keys of it.
_EXEMPT: Final = frozenset(("CONFIG", "CONFIG_PATH"))


def overlay(raw: dict[str, object], environ: Mapping[str, str], namespace: str, schema: inspect.StructType) -> None:
    """Write the overrides of ``environ`` into ``raw``, creating sections as needed. Raises :class:`ConfigError`."""
    for variable, name, text in _overrides(environ, namespace):
        path = name.lower().split("__")
        section, kind = raw, schema
        for depth, key in enumerate(path):
            field = next((field for field in kind.fields if field.name == key), None)
            if field is None:
                raise ConfigError(f"unknown field `{'.'.join(path)}` (environment variable {variable})")
            inner = unwrap(field.type)
            if depth == len(path) - 1:
                section[key] = _value(text, inner)
            elif isinstance(inner, inspect.StructType):
                section, kind = _subsection(section, key, path[: depth + 1]), inner
            else:
                raise ConfigError(f"unknown field `{'.'.join(path)}` (environment variable {variable})")


def _overrides(environ: Mapping[str, str], namespace: str) -> Iterator[tuple[str, str, str]]:
    """(variable, name without prefix, text), the winning prefix last."""
    own = f"{namespace.upper()}_"
    found: dict[str, list[tuple[str, str, str]]] = {own: [], _PREFIX: []}
    prefixes = sorted(found, key=len, reverse=True)  # one prefix may begin with the other
    for variable in sorted(environ):
        prefix = next((prefix for prefix in prefixes if variable.startswith(prefix)), None)
        name = variable.removeprefix(prefix or "")
        if prefix is None or name in _EXEMPT or (name == "NAMESPACE" and prefix != _PREFIX):
            continue
        found[prefix].append((variable, name, environ[variable]))
    yield from found[own] if own != _PREFIX else ()
    yield from found[_PREFIX]


def _value(text: str, kind: inspect.Type) -> object:
    if not is_scalar_list(kind):
        return text
    return [item.strip() for item in text.split(",")] if text.strip() else []


def _subsection(section: dict[str, object], key: str, path: list[str]) -> dict[str, object]:
    inner = section.get(key)
    if inner is None:
        inner = {}
    if not isinstance(inner, dict):
        raise ConfigError(f"{'.'.join(path)}: expected a section")
    # A copy: YAML aliases make two sections one object.
    section[key] = copy = dict(inner)
    return copy
