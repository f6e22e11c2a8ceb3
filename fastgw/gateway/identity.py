"""The identity providers of a snapshot, and which caller an identity stands for.

An identity that keys are bound to by name is theirs alone. Only one that no key is bound to goes through the claim
mappings, in their order; the first that matches decides. There is no default.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from fastgw.gateway.jwt import Rejected, claim, matches
from fastgw.gateway.keys import KeyAddress, KeySet, algorithms
from fastgw.gateway.snapshot import Caller
from fastgw.resources.models import ClaimMapping, OidcProvider, Row

MAX_VERIFIED = 4096
"""Tokens whose verification is remembered; a few hundred bytes each."""


@dataclass(frozen=True, slots=True)
class Provider:
    """An enabled provider. Claim paths are split; `bound` maps a path to its admitted values; `leeway` in seconds."""

    name: str
    issuer: str
    address: KeyAddress
    audiences: frozenset[str]
    scopes: frozenset[str]
    bound: tuple[tuple[tuple[str, ...], frozenset[str]], ...]
    identity_claim: tuple[str, ...]
    leeway: int


@dataclass(frozen=True, slots=True)
class MatchRule:
    """One condition of a mapping: the claim has the type that the operation wants, and one of the values."""

    path: tuple[str, ...]
    array: bool
    values: frozenset[str]

    def holds(self, claims: dict[str, Any]) -> bool:
        value = claim(claims, self.path)
        return isinstance(value, list if self.array else str) and matches(value, self.values)


@dataclass(frozen=True, slots=True)
class Rule:
    """An enabled mapping; `target` is the id of a key, which may not exist."""

    name: str
    match: tuple[MatchRule, ...]
    target: str


@dataclass(slots=True)
class Principal:
    """Who a token speaks for, as far as it has been found out: `subject` and `provider` are verified, `mapping` is the
    claim mapping that decided."""

    issuer: str | None = None
    kid: str | None = None
    subject: str | None = None
    provider: str | None = None
    mapping: str | None = None


class Verified(NamedTuple):
    """A token that was accepted: good with the same keys, and until a point of Unix time."""

    address: KeyAddress
    keys: KeySet
    until: float
    caller: Caller
    principal: Principal


class Callers(Protocol):
    """The API keys that identities stand for (a snapshot)."""

    def caller(self, id: str) -> Caller | None:
        """The caller with this id."""

    def bound(self, provider: str, subject: str) -> tuple[str, ...]:
        """Ids of the keys that are bound to an identity."""


class Identity:
    """Everything that tokens are judged by, but for the API keys. `verified` is keyed by the SHA-256 of the token; it
    holds for the providers, mappings and bindings of this object as long as the caller is the same."""

    def __init__(self, providers: Iterable[Provider], rules: Mapping[str, list[Rule]]) -> None:
        self._providers: dict[str, Provider | None] = {}
        for provider in providers:
            # Two providers for one issuer: none is trusted.
            self._providers[provider.issuer] = None if provider.issuer in self._providers else provider
        self._rules = rules
        self.verified: dict[bytes, Verified] = {}

    def provider(self, issuer: str) -> Provider:
        """The one provider of an issuer. Raises Rejected."""
        provider = self._providers.get(issuer)
        if provider is None:
            raise Rejected("jwt_untrusted_issuer")
        return provider

    def resolve(self, callers: Callers, principal: Principal, claims: dict[str, Any]) -> Caller:
        """The caller of a verified identity; the mapping that found it is left in `principal`. Raises Rejected.

        O(mappings of the provider)."""
        assert principal.provider is not None and principal.subject is not None
        bound = callers.bound(principal.provider, principal.subject)
        if len(bound) > 1:
            raise Rejected("jwt_binding_ambiguous")
        caller = callers.caller(bound[0]) if bound else None
        if caller is not None:
            return caller
        for rule in self._rules.get(principal.provider, ()):
            if all(condition.holds(claims) for condition in rule.match):
                principal.mapping = rule.name
                caller = callers.caller(rule.target)
                if caller is None:
                    raise Rejected("claim_mapping_target_missing")
                return caller
        raise Rejected("jwt_identity_unmapped")

    def remember(self, digest: bytes, verified: Verified) -> None:
        """Spare a token its next verification."""
        if len(self.verified) >= MAX_VERIFIED:
            self.verified.clear()
        self.verified[digest] = verified


def compile_identity(providers: Iterable[Row[OidcProvider]], mappings: Iterable[Row[ClaimMapping]]) -> Identity | None:
    """The identity part of a snapshot. None when no provider is enabled. O(rows)."""
    enabled = [compile_provider(row.value) for row in providers if row.value.enabled]
    if not enabled:
        return None
    # Loaded with the configuration, not with the first token.
    algorithms()
    return Identity(enabled, rules(mappings))


def compile_provider(provider: OidcProvider) -> Provider:
    """The compiled form of one provider."""
    return Provider(
        name=provider.name,
        issuer=provider.issuer,
        address=KeyAddress(provider.issuer, provider.jwks_uri),
        audiences=frozenset(provider.audiences),
        scopes=frozenset(provider.required_scopes),
        bound=tuple(
            (split(path), frozenset((values,) if isinstance(values, str) else values))
            for path, values in provider.bound_claims.items()
        ),
        identity_claim=split(provider.identity_claim),
        leeway=provider.leeway_secs,
    )


def rules(rows: Iterable[Row[ClaimMapping]]) -> dict[str, list[Rule]]:
    """Provider name → its enabled mappings in the order in which they are tried."""
    found: dict[str, list[Rule]] = {}
    for row in sorted(rows, key=lambda row: (row.value.priority, row.value.name, row.id)):
        mapping = row.value
        if mapping.enabled:
            match = tuple(
                MatchRule(split(rule.claim), rule.op == "contains", frozenset(rule.values)) for rule in mapping.match
            )
            rule = Rule(mapping.name, match, mapping.resolve.api_key_id)
            found.setdefault(mapping.jwt_provider, []).append(rule)
    return found


def split(path: str) -> tuple[str, ...]:
    """The member names of a dotted path."""
    return tuple(path.split("."))
