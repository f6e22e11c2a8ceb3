"""Reading a bootstrap file, whatever its format, into one mapping."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fastgw.config.errors import ConfigError
from fastgw.core.yaml import YamlError, load_documents


def read_config_file(path: Path) -> dict[str, object]:
    """The file's top-level mapping, freshly made. Raises :class:`ConfigError`."""
    parse = _PARSERS.get(path.suffix.lower())
    if parse is None:
        raise ConfigError(f"{path}: unknown file extension (expected .yaml, .yml, .json or .toml)")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as exc:
        raise ConfigError(f"{path}: cannot read file: {exc.strerror}") from None
    except ValueError:
        raise ConfigError(f"{path}: file is not valid UTF-8") from None
    try:
        value = parse(text)
    except ConfigError as exc:
        raise ConfigError(f"{path}: {exc}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: top level must be a mapping")
    return value


def parse_json(text: str) -> object:
    """JSON in which a repeated member is an error. Messages never quote the text."""
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as exc:
        raise ConfigError(f"invalid JSON: {exc.msg} at line {exc.lineno} column {exc.colno}") from None
    except ConfigError:
        raise
    except (ValueError, RecursionError):
        raise ConfigError("invalid JSON") from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ConfigError("invalid JSON: duplicate member")
    return members


def _parse_yaml(text: str) -> object:
    try:
        documents = load_documents(text, nonfinite=True)
    except YamlError as exc:
        raise ConfigError(f"invalid YAML: {exc}") from None
    if len(documents) > 1:
        raise ConfigError(f"expected a single YAML document, found {len(documents)}")
    return documents[0] if documents else None


def _parse_toml(text: str) -> object:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise ConfigError("invalid TOML") from None
    except (ValueError, RecursionError):
        raise ConfigError("invalid TOML") from None


_PARSERS: Final[dict[str, Callable[[str], object]]] = {
    ".yaml": _parse_yaml,
    ".yml": _parse_yaml,
    ".json": parse_json,
    ".toml": _parse_toml,
}
