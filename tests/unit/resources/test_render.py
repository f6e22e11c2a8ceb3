"""Rows as documents: valid, complete, and nothing that nobody said."""

import copy
from typing import Any

import pytest

from fastgw.resources.decode import Decoded, examine
from fastgw.resources.kinds import find_kind
from fastgw.resources.render import document, value
from tests.support.documents import VALID
from tests.support.schemas import FILES, Oracle


def row(kind: str, source: dict[str, Any]) -> Any:
    found = find_kind(kind)
    assert found is not None
    decoded = examine(found, copy.deepcopy(source), strict=False)
    assert isinstance(decoded, Decoded)
    return decoded.row


@pytest.mark.parametrize("kind", FILES)
def test_a_rendered_document_is_valid_and_means_the_same(kind: str) -> None:
    oracle = Oracle(kind)
    for source in VALID[kind]:
        rendered = document(row(kind, source))
        assert oracle.reasons(rendered, strict=True) == []
        assert row(kind, rendered) == row(kind, source)


def defaults(schema: dict[str, Any], given: dict[str, Any]) -> set[str]:
    """Members that the published schema gives a default and a document of this branch does not have."""
    branches = [branch for branch in schema["oneOf"] if "properties" in branch] if "oneOf" in schema else []
    for branch in branches:
        if branch["properties"]["kind"]["enum"] == [given["kind"]]:
            schema = branch
    found = {name for name, member in schema["properties"].items() if member.get("default") is not None}
    return found - {"ddsource"} - set(given)


@pytest.mark.parametrize("kind", FILES)
def test_what_is_added_are_the_published_defaults(kind: str) -> None:
    """Except `ddsource`, whose default depends on the namespace of the gateway."""
    aliases = dict(getattr(find_kind(kind), "aliases", ()))
    for source in VALID[kind]:
        given = {aliases.get(name, name): item for name, item in source.items() if item is not None}
        rendered = document(row(kind, source))
        assert set(rendered) - set(given) == defaults(Oracle(kind).schema, given)
        missing = set(given) - set(rendered)
        # Surplus members, and optional ones that say what holds anyway.
        assert missing <= {"later", "preserve_host", "max_requests", "action", "deny"}, missing


@pytest.mark.parametrize(
    ("kind", "source", "expected"),
    [
        ("models", {"display_name": "m", "provider": "p", "model_name": "n", "provider_key_id": "k"}, {}),
        (
            "models",
            {"display_name": "m", "routing": {"targets": [{"model": "a", "weight": 1}]}, "retries": 1},
            {"retries": None, "routing": {"targets": [{"model": "a"}], "strategy": "failover"}},
        ),
        (
            "provider_keys",
            {"display_name": "p", "secret": "s", "x": 1, "request": {"default_body_fields": {"a": None}}, "tls": {}},
            {
                "secret": None,
                "x": None,
                "api_key": "s",
                "provider": "",
                "strip_headers": ["authorization", "cookie", "set-cookie", "x-api-key"],
                "telemetry_tags": {"featured": False},
                "tls": {"verify": True},
            },
        ),
        (
            "rate_limit_policies",
            {
                "name": "r",
                "limits": {"rpm": 1},
                "conditions": [
                    {"logic": "or", "children": [{"dimension": "team", "operator": "==", "value": "t", "negate": True}]}
                ],
            },
            {},
        ),
        (
            "api_keys",
            {"key_hash": "h", "allowed_models": [], "display_name": "d", "team_id": "t", "disabled": False},
            {"display_name": None, "team_id": None, "disabled": None},
        ),
        (
            "api_keys",
            {"key_hash": "h", "allowed_models": [], "rate_limit": {"rpm": None}, "disabled": True, "mcp_access": {}},
            {"rate_limit": {}, "mcp_access": {"allow": []}},
        ),
    ],
)
def test_value(kind: str, source: dict[str, Any], expected: dict[str, Any]) -> None:
    """`expected` changes the source; None takes a member away."""
    wanted = {name: item for name, item in {**source, **expected}.items() if item is not None}
    assert value(kind, row(kind, source)) == wanted
