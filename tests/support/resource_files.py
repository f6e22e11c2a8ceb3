"""Resources files in tests: entries near the smallest ones that are taken, and what loading them gives."""

import json
from pathlib import Path

import pytest

from fastgw.resources import FileProblem, Resources, ResourcesError, load_resources

ENVIRON = {"CALLER": "sk-caller", "EMPTY": "", "V": "value", "BAD": "a\udcff", "NESTED": "${V}"}


def load(directory: Path, text: str, environ: dict[str, str] | None = None) -> Resources:
    path = directory / "resources.yaml"
    path.write_text(text)
    return load_resources(path, ENVIRON if environ is None else environ)


def failure(directory: Path, text: str, environ: dict[str, str] | None = None) -> ResourcesError:
    with pytest.raises(ResourcesError) as info:
        load(directory, text, environ)
    return info.value


def problems(directory: Path, text: str) -> list[FileProblem]:
    return list(failure(directory, text).problems)


def document(**collections: object) -> str:
    return json.dumps({"_format_version": "1", **collections})


def key(**members: object) -> dict[str, object]:
    return {"display_name": "p", "api_key": "k", **members}


def model(**members: object) -> dict[str, object]:
    return {"display_name": "m", "provider": "v", "model_name": "n", "provider_key": "p", **members}


def caller(**members: object) -> dict[str, object]:
    return {"display_name": "a", "key_hash": "h", "allowed_models": [], **members}


def group(display_name: str = "m", **members: object) -> dict[str, object]:
    return {"display_name": display_name, **members}


TARGETS = {"targets": [{"model": "t"}]}
ENSEMBLE = {"panel": [{"model": "t"}], "judge": {"model": "j"}}
SEMANTIC = {
    "embedding_model": "e",
    "default": "d",
    "routes": [{"name": "r", "target": "t", "examples": ["x"]}],
    "match": {"threshold": 0.5},
    "on_embedding_failure": {"target": "f"},
}


def policy(name: str, **members: object) -> dict[str, object]:
    return {"name": name, "window": "minute", "max_requests": 1, **members}


def conditions(name: str, *nodes: object, **members: object) -> dict[str, object]:
    return {"name": name, "limits": {"rpm": 1}, "conditions": list(nodes), **members}


def leaf(dimension: str, value: object, operator: str = "==") -> dict[str, object]:
    return {"dimension": dimension, "operator": operator, "value": value}


def nested(depth: int) -> dict[str, object]:
    return {"logic": "and", "children": [nested(depth - 1)]} if depth else leaf("team", "t")


def route(name: str, **members: object) -> dict[str, object]:
    return {"name": name, "hosts": ["h"], "target_url": "https://t", "provider_key": "p", **members}


def idp(**members: object) -> dict[str, object]:
    return {"name": "o", "issuer": "https://i", "audiences": ["gateway"], **members}


def mapping(**members: object) -> dict[str, object]:
    match = [{"claim": "team", "op": "exact", "values": ["red"]}]
    return {"name": "c", "jwt_provider": "o", "match": match, "resolve": {"api_key": "a"}, **members}
