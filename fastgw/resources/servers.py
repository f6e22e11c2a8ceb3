"""What callers reach besides models: MCP servers and who may use their tools, agents, passthrough routes."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from fastgw.resources.base import IMPLIED, NOT_NULL, Document, Flaw, Positive64, Text, Texts
from fastgw.resources.ecma import ecma

_HEADER: Final = ecma(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
_OWN_PATH: Final = ecma("^/(v1|mcp|a2a|admin|livez|readyz|metrics)(/|$)")
_CREDENTIAL_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"})
_SECRET_AUTH: Final = frozenset({"bearer", "api_key", "oauth2"})

ServerName = Annotated[str, Meta(min_length=1, pattern="^(?:[^_]|_[^_])*$")]
AgentName = Annotated[str, Meta(min_length=1, pattern="^[^/?#%\\s\\x00-\\x1f\\x7f\u0080-\u009f]+$")]
LowerHeader = Annotated[str, Meta(min_length=1, pattern=r"^[!#$%&'*+.^_`|~0-9a-z-]+$")]
HostPattern = Annotated[str, Meta(min_length=1, pattern=r"^(\*\.)?([A-Za-z0-9-]+\.)+[A-Za-z0-9-]+$|^[A-Za-z0-9-]+$")]


def _needs_text(document: Mapping[str, Any], field: str, why: str) -> Iterable[Flaw]:
    if not document.get(field):
        yield Flaw("", f"{why} needs a `{field}` that is not empty")


class McpServer(Document, frozen=True, kw_only=True):
    """``type`` ``openapi`` makes tools of the operations in ``spec``."""

    name: ServerName
    url: Text
    type: Literal["mcp", "openapi"] = "mcp"
    transport: Literal["streamable_http"] = "streamable_http"
    auth_type: Literal["none", "bearer", "api_key", "oauth2"] = "none"
    secret: str | None = None
    client_id: str | None = None
    token_url: str | None = None
    scopes: tuple[str, ...] | None = None
    api_key_header: Text | None = None
    spec: Any = None
    protocol_version: Literal["2026-07-28"] | None = None
    timeout_ms: Positive64 | None = None
    enabled: bool = True

    def __repr__(self) -> str:
        return f"<McpServer {self.name!r}>"

    @classmethod
    def rules(cls, document: Mapping[str, Any], strict: bool) -> Iterable[Flaw]:
        """Authentication has what it needs; a document of operations and its header belong to ``openapi``."""
        auth = document.get("auth_type")
        if auth in _SECRET_AUTH:
            for field in ("secret", "client_id", "token_url") if auth == "oauth2" else ("secret",):
                yield from _needs_text(document, field, f"`auth_type` `{auth}`")
        spec, header = document.get("spec"), document.get("api_key_header")
        if document.get("type") != "openapi":
            for field, value in (("spec", spec), ("api_key_header", header)):
                if value is not None:
                    yield Flaw(f"/{field}", "needs `type` `openapi`")
            return
        if not isinstance(spec, dict):
            yield Flaw("/spec" if "spec" in document else "", "`type` `openapi` needs a `spec` that is an object")
        elif "swagger" in spec:
            yield Flaw("/spec", "Swagger 2 is not supported")
        if header is not None and not _HEADER.search(header):
            yield Flaw("/api_key_header", "must be a header name")
        if header is not None and auth != "api_key":
            yield Flaw("", "`api_key_header` needs `auth_type` `api_key`")


class McpPolicy(Document, frozen=True, kw_only=True):
    """Which tools everybody, or one team, may use."""

    STRICT_REQUIRED = frozenset({"allow"})

    scope: Literal["env", "team"]
    scope_ref: Text | None = None
    allow: tuple[str, ...] = ()
    deny: Annotated[tuple[str, ...], IMPLIED] = ()
    enabled: bool = True

    @classmethod
    def rules(cls, document: Mapping[str, Any], strict: bool) -> Iterable[Flaw]:
        """A team has a name."""
        if document["scope"] == "team":
            yield from _needs_text(document, "scope_ref", "`scope` `team`")


class McpAnonymousAccess(Document, frozen=True, kw_only=True):
    """Callers without a key, from these networks, act as an API key. ``aggregate_entry``: on ``/mcp`` as well."""

    api_key_id: Text
    servers: Texts
    source_cidrs: Texts
    enabled: bool = True
    aggregate_entry: Annotated[bool, IMPLIED] = False


class McpAuthSettings(Document, frozen=True, kw_only=True):
    """One per gateway. ``resource_url`` is what protected-resource metadata name."""

    resource_url: Annotated[Text | None, NOT_NULL] = None
    anonymous: Annotated[McpAnonymousAccess | None, NOT_NULL] = None


class A2aAgent(Document, frozen=True, kw_only=True):
    name: AgentName
    url: Text
    protocol_version: Literal["1.0", "0.3"] = "1.0"
    auth_type: Literal["none", "bearer", "api_key"] = "none"
    secret: str | None = None
    timeout_ms: Positive64 | None = None
    enabled: bool = True

    def __repr__(self) -> str:
        return f"<A2aAgent {self.name!r}>"

    @classmethod
    def rules(cls, document: Mapping[str, Any], strict: bool) -> Iterable[Flaw]:
        """Authentication has what it needs."""
        if document.get("auth_type") in _SECRET_AUTH:
            yield from _needs_text(document, "secret", f"`auth_type` `{document['auth_type']}`")


class PassthroughRoute(Document, frozen=True, kw_only=True):
    """A part of the caller's URL space, by path or host, that is relayed as it is.

    Members that may be null in isolation are refused by what the combination of members demands."""

    name: Text
    path_prefix: Annotated[Annotated[str, Meta(min_length=1, pattern="^/")] | None, NOT_NULL] = None
    hosts: Annotated[Annotated[tuple[HostPattern, ...], Meta(min_length=1)] | None, NOT_NULL] = None
    target_url: Annotated[Annotated[str, Meta(min_length=1, pattern="^https?://")] | None, NOT_NULL] = None
    preserve_host: Annotated[bool, IMPLIED] = False
    auth_mode: Literal["gateway_key", "header_key", "anonymous"] = "gateway_key"
    auth_header_name: Annotated[LowerHeader | None, NOT_NULL] = None
    anonymous_key_id: Annotated[Text | None, NOT_NULL] = None
    source_cidrs: tuple[str, ...] | None = None
    credential_mode: Literal["inject", "forward_client"] = "inject"
    provider_key_id: Annotated[Text | None, NOT_NULL] = None
    identity_header: Annotated[LowerHeader | None, NOT_NULL] = None
    timeout_ms: Positive64 | None = None
    enabled: bool = True

    @classmethod
    def rules(cls, document: Mapping[str, Any], strict: bool) -> Iterable[Flaw]:
        """Where it listens, where it leads, who may use it, and whose credential is sent."""
        yield from _check_place(document)
        for field in ("auth_header_name", "identity_header"):
            if document.get(field) in _CREDENTIAL_HEADERS:
                yield Flaw(f"/{field}", "must not be a header that carries credentials")
        mode = document.get("auth_mode", "gateway_key")
        yield from _only_with(document, "auth_header_name", mode == "header_key", "`auth_mode` `header_key`")
        yield from _only_with(document, "anonymous_key_id", mode == "anonymous", "`auth_mode` `anonymous`")
        if mode == "anonymous" and not (document.get("source_cidrs") and all(document["source_cidrs"])):
            yield Flaw("", "`auth_mode` `anonymous` needs `source_cidrs`, none of them empty")
        inject = document.get("credential_mode", "inject") == "inject"
        yield from _only_with(document, "provider_key_id", inject, "`credential_mode` `inject`")


def _check_place(document: Mapping[str, Any]) -> Iterable[Flaw]:
    if "hosts" not in document:
        if "path_prefix" not in document:
            yield Flaw("", "at least one of `path_prefix` and `hosts` is required")
        elif _OWN_PATH.search(document["path_prefix"]):
            yield Flaw("/path_prefix", "belongs to the gateway; without `hosts` it must be elsewhere")
    preserve = document.get("preserve_host") is True
    if preserve == ("target_url" in document):
        yield Flaw("", "exactly one of `target_url` and `preserve_host: true` is required")
    if preserve and "hosts" not in document:
        yield Flaw("", "`preserve_host` needs `hosts`")


def _only_with(document: Mapping[str, Any], field: str, wanted: bool, what: str) -> Iterable[Flaw]:
    if wanted and field not in document:
        yield Flaw("", f"{what} needs `{field}`")
    elif not wanted and field in document:
        yield Flaw(f"/{field}", f"is allowed with {what} only")
