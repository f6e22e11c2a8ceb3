"""Checks between entries of one file, after each of them is valid on its own."""

from collections.abc import Iterable, Iterator, Mapping

from fastgw.core.urls import embeds_credentials
from fastgw.resources.models import ApiKey, ClaimMapping, Model, OidcProvider
from fastgw.resources.report import FileProblem, names_list, quoted


def check_references(
    models: Iterable[tuple[str, Model]],
    api_keys: Iterable[tuple[str, ApiKey]],
    providers: Iterable[tuple[str, OidcProvider]],
    mappings: Iterable[tuple[str, ClaimMapping]],
    names: Mapping[str, Mapping[str, str]],
) -> Iterator[FileProblem]:
    """Every entry comes with its scope; ``names`` as in :class:`fastgw.resources.desugar.Context`."""
    keys, issuers = tuple(api_keys), tuple(providers)
    for scope, key in keys:
        yield from _unknown(scope, key.allowed_models, names["models"], "allowed_models entry", "model", "models")
    for scope, key in keys:
        routes = key.allowed_routes or ()
        known = names["passthrough_routes"]
        yield from _unknown(scope, routes, known, "allowed_routes entry", "passthrough route", "routes")
    yield from _check_credentials(keys)
    yield from _check_jwt_bindings(keys)
    yield from _check_issuers(issuers)
    yield from _check_mappings(mappings, names)
    yield from _check_addresses(issuers)
    ids = frozenset(names["provider_keys"].values())
    for scope, model in models:
        if model.provider_key_id not in ids:
            yield FileProblem(
                scope,
                f"provider_key_id {quoted(model.provider_key_id)} does not match any provider key defined in this file"
                " — use `provider_key` with the key's display_name",
            )


def _unknown(
    scope: str, references: Iterable[str], known: Mapping[str, str], what: str, noun: str, plural: str
) -> Iterator[FileProblem]:
    """A reference with ``*`` is a pattern and may match nothing yet."""
    for name in references:
        if "*" not in name and name not in known:
            defined = names_list(known) or "none"
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


def _check_mappings(
    mappings: Iterable[tuple[str, ClaimMapping]], names: Mapping[str, Mapping[str, str]]
) -> Iterator[FileProblem]:
    known, ids = names["oidc_providers"], frozenset(names["api_keys"].values())
    for scope, mapping in mappings:
        if mapping.jwt_provider not in known:
            yield FileProblem(
                scope,
                f"jwt_provider references unknown OIDC provider {quoted(mapping.jwt_provider)}"
                f" (defined providers: {names_list(known) or 'none'})",
            )
        if mapping.resolve.api_key_id not in ids:
            yield FileProblem(
                scope,
                f"resolve.api_key_id {quoted(mapping.resolve.api_key_id)} does not match any api key defined in this"
                " file — use `resolve.api_key` with the key's display_name",
            )


def _check_addresses(providers: Iterable[tuple[str, OidcProvider]]) -> Iterator[FileProblem]:
    for scope, provider in providers:
        for field, address in (("issuer", provider.issuer), ("jwks_uri", provider.jwks_uri)):
            if address is not None and embeds_credentials(address):
                yield FileProblem(
                    scope, f"{field} must not embed credentials (user information or a query parameter that holds one)"
                )


def _shown(issuer: str) -> str:
    return "…" if embeds_credentials(issuer) else issuer
