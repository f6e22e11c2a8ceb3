"""Checks between entries of one file, after each of them is valid on its own."""

from collections.abc import Iterable, Iterator, Mapping

from fastgw.resources.models import ApiKey, Model
from fastgw.resources.report import FileProblem, names_list, quoted


def check_references(
    models: Iterable[tuple[str, Model]],
    api_keys: Iterable[tuple[str, ApiKey]],
    names: Mapping[str, Mapping[str, str]],
) -> Iterator[FileProblem]:
    """``models`` and ``api_keys`` with their scopes; ``names`` as in :class:`fastgw.resources.desugar.Context`."""
    keys = tuple(api_keys)
    for scope, key in keys:
        yield from _unknown(scope, key.allowed_models, names["models"], "allowed_models entry", "model", "models")
    for scope, key in keys:
        routes = key.allowed_routes or ()
        known = names["passthrough_routes"]
        yield from _unknown(scope, routes, known, "allowed_routes entry", "passthrough route", "routes")
    yield from _check_credentials(keys)
    yield from _check_jwt_bindings(keys)
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
