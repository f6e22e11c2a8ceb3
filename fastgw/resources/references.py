"""Checks between entries of one file, after each of them is valid on its own."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fastgw.core.urls import embeds_credentials
from fastgw.resources.models import ApiKey, ClaimMapping, Model, OidcProvider
from fastgw.resources.report import FileProblem, Names, quoted
from fastgw.resources.virtual import FailureTarget

Entries = Mapping[str, Sequence[tuple[str, Any]]]
"""Kind → (scope, resource), in file order."""


def check_references(entries: Entries, names: Names) -> Iterator[FileProblem]:
    """What is wrong between the valid ``entries`` of a file; ``names`` has those of the others as well."""
    keys, issuers = entries["api_keys"], entries["oidc_providers"]
    for scope, key in keys:
        for name in key.allowed_models:
            yield from _unknown(scope, name, "allowed_models entry", "model", "models", "models", names)
    for scope, model in entries["models"]:
        for what, name in members(model):
            yield from _unknown(scope, name, what, "model", "models", "models", names)
    for scope, key in keys:
        for name in key.allowed_routes or ():
            kind = "passthrough_routes"
            yield from _unknown(scope, name, "allowed_routes entry", "passthrough route", "routes", kind, names)
    yield from _check_credentials(keys)
    yield from _check_jwt_bindings(keys)
    yield from _check_issuers(issuers)
    yield from _check_mappings(entries["claim_mappings"], names)
    for scope, provider in issuers:
        yield from _check_address(scope, "issuer", provider.issuer)
        yield from _check_address(scope, "jwks_uri", provider.jwks_uri)
    for scope, settings in entries["mcp_auth_settings"]:
        yield from _check_address(scope, "resource_url", settings.resource_url)
    ids = frozenset(names.ids("provider_keys").values())
    for scope, user in (*entries["models"], *entries["passthrough_routes"]):
        if user.provider_key_id is not None and user.provider_key_id not in ids:
            yield FileProblem(
                scope,
                f"provider_key_id {quoted(user.provider_key_id)} does not match any provider key defined in this file"
                " — use `provider_key` with the key's display_name",
            )


def members(model: Model) -> Iterator[tuple[str, str]]:
    """(what it is there for, name) of every model that a virtual model uses."""
    if model.routing is not None:
        yield from (("routing target", target.model) for target in model.routing.targets)
    if model.ensemble is not None:
        yield from (("ensemble panel member", member.model) for member in model.ensemble.panel)
        yield "ensemble judge", model.ensemble.judge.model
    if model.semantic is not None:
        yield "semantic embedding_model", model.semantic.embedding_model
        yield "semantic default", model.semantic.default
        yield from ((f"semantic route {quoted(route.name)} target", route.target) for route in model.semantic.routes)
        if isinstance(model.semantic.on_embedding_failure, FailureTarget):
            yield "semantic on_embedding_failure target", model.semantic.on_embedding_failure.target


def _unknown(
    scope: str, name: str, what: str, noun: str, plural: str, kind: str, names: Names
) -> Iterator[FileProblem]:
    """A reference with ``*`` is a pattern and may match nothing yet."""
    if "*" not in name and name not in names.ids(kind):
        defined = names.listed(kind) or "none"
        yield FileProblem(scope, f"{what} references unknown {noun} {quoted(name)} (defined {plural}: {defined})")


def _check_credentials(keys: Iterable[tuple[str, ApiKey]]) -> Iterator[FileProblem]:
    owners: dict[str, str] = {}
    for scope, key in keys:
        owner = owners.setdefault(key.key_hash, scope)
        if owner != scope:
            yield FileProblem(
                scope,
                f"duplicate api key credential: this entry's key resolves to the same key_hash as {owner}"
                " — every entry needs a key of its own",
            )


def _check_jwt_bindings(keys: Iterable[tuple[str, ApiKey]]) -> Iterator[FileProblem]:
    owners: dict[tuple[str, str], str] = {}
    for scope, key in keys:
        if key.jwt_subject is None:
            continue
        if key.jwt_provider is None:
            yield FileProblem(
                scope, f"jwt_subject {quoted(key.jwt_subject)} is set without jwt_provider — set both or neither"
            )
            continue
        owner = owners.setdefault((key.jwt_provider, key.jwt_subject), scope)
        if owner != scope:
            binding = f"{quoted(key.jwt_provider)}/{quoted(key.jwt_subject)}"
            yield FileProblem(scope, f"duplicate jwt binding {binding}: already used by {owner}")


def _check_issuers(providers: Iterable[tuple[str, OidcProvider]]) -> Iterator[FileProblem]:
    owners: dict[str, str] = {}
    for scope, provider in providers:
        owner = owners.setdefault(provider.issuer, scope) if provider.enabled else scope
        if owner != scope:
            yield FileProblem(
                scope,
                f"duplicate enabled OIDC issuer {quoted(_shown(provider.issuer))}: already used by {owner}"
                " — tokens of this issuer would be refused",
            )


def _check_mappings(mappings: Iterable[tuple[str, ClaimMapping]], names: Names) -> Iterator[FileProblem]:
    ids = frozenset(names.ids("api_keys").values())
    for scope, mapping in mappings:
        if mapping.jwt_provider not in names.ids("oidc_providers"):
            defined = names.listed("oidc_providers") or "none"
            yield FileProblem(
                scope,
                f"jwt_provider references unknown OIDC provider {quoted(mapping.jwt_provider)}"
                f" (defined providers: {defined})",
            )
        if mapping.resolve.api_key_id not in ids:
            yield FileProblem(
                scope,
                f"resolve.api_key_id {quoted(mapping.resolve.api_key_id)} does not match any api key defined in this"
                " file — use `resolve.api_key` with the key's display_name",
            )


def _check_address(scope: str, field: str, address: str | None) -> Iterator[FileProblem]:
    if address is not None and embeds_credentials(address):
        yield FileProblem(
            scope, f"{field} must not embed credentials (user information or a query parameter that holds one)"
        )


def _shown(issuer: str) -> str:
    return "…" if embeds_credentials(issuer) else issuer
