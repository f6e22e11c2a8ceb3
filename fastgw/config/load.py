"""``load_config``: file, environment, defaults, validation."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from fastgw.config.check import check
from fastgw.config.coerce import coerce, struct_info
from fastgw.config.env import overlay
from fastgw.config.errors import ConfigError
from fastgw.config.schema import Config
from fastgw.config.source import read_config_file
from fastgw.core.proxies import Proxies

_NAMESPACE: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")

# Defaults that follow the namespace, by section.
_NAMED_DEFAULTS: Final[tuple[tuple[tuple[str, ...], str, Callable[[str], object]], ...]] = (
    (("observability",), "service_name", lambda ns: ns),
    (("proxy", "request_id"), "accept_headers", lambda ns: [f"x-{ns}-request-id"]),
    (("managed",), "mtls_dir", lambda ns: f"/var/lib/{ns}/mtls"),
    (("managed",), "dp_id_file", lambda ns: f"/var/lib/{ns}/dp_id"),
)


def load_config(path: Path, environ: Mapping[str, str]) -> Config:
    """Read and validate the bootstrap file; ``environ`` overrides it.

    Raises :class:`ConfigError`, whose text is what follows ``failed to load configuration:``.
    """
    raw = read_config_file(path)
    namespace = _namespace(raw, environ)
    schema = struct_info(Config)
    overlay(raw, environ, namespace, schema)
    values = coerce(raw, schema)
    assert isinstance(values, dict)
    values["namespace"] = namespace
    _fill_named_defaults(values, namespace)
    _normalise(values, path)
    config = msgspec.convert(values, Config)
    check(config)
    try:
        Proxies.of(environ)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return config


def _namespace(raw: dict[str, object], environ: Mapping[str, str]) -> str:
    given = environ.get("FASTGW_NAMESPACE", raw.get("namespace"))
    if given is None:
        return "fastgw"
    if not isinstance(given, str) or not _NAMESPACE.fullmatch(given):
        raise ConfigError("namespace must match ^[a-z][a-z0-9_]{0,31}$")
    return given


def _fill_named_defaults(values: dict[str, object], namespace: str) -> None:
    for path, key, default in _NAMED_DEFAULTS:
        section = values
        for name in path:
            inner = section.setdefault(name, {})
            assert isinstance(inner, dict)
            section = inner
        section.setdefault(key, default(namespace))
    etcd = values.get("etcd")  # created by nothing: its presence selects a source
    if isinstance(etcd, dict):
        etcd.setdefault("prefix", f"/{namespace}")


def _normalise(values: dict[str, object], path: Path) -> None:
    if not values.get("bedrock_endpoint_url"):
        values.pop("bedrock_endpoint_url", None)
    resources_file = values.get("resources_file")
    if isinstance(resources_file, str) and resources_file.strip():
        values["resources_file"] = _locate(resources_file, path)
    section: object = values
    for key in ("observability", "metrics", "prometheus"):
        section = section.get(key) if isinstance(section, dict) else None
    if isinstance(section, dict) and "path" in section:
        section["path"] = "/" + section["path"].strip().removeprefix("/") if section["path"].strip() else "/metrics"


def _locate(resources_file: str, config_file: Path) -> str:
    """A relative path is taken from the working directory and, if it does not exist there, from the config file's."""
    beside = config_file.parent / resources_file
    return str(beside) if not Path(resources_file).exists() and beside.exists() else resources_file
