"""From validated resources to a snapshot: work that would otherwise be done per request is done here, once."""

import ssl
from collections.abc import Callable, Iterable

import msgspec
import orjson

from fastgw.config.schema import Config
from fastgw.core.errors import GatewayError, invalid_request, misconfigured
from fastgw.gateway.identity import compile_identity
from fastgw.gateway.snapshot import Caller, Flaws, Operation, Snapshot, Target
from fastgw.policy.access import ModelPatterns, Networks
from fastgw.policy.deadlines import answer_deadline, stream_deadline
from fastgw.providers import adapter
from fastgw.providers.place import UpstreamURL
from fastgw.providers.registry import adapter_for, overrides_for
from fastgw.resources.models import VIRTUAL, ApiKey, Model, ProviderKey, Resources, Row
from fastgw.resources.report import quoted
from fastgw.telemetry.log import Log
from fastgw.upstream.pool import Origin, Pools
from fastgw.upstream.tls import Contexts, KeyTrust, TlsError

OPERATIONS: tuple[adapter.Operation, ...] = (
    "chat/completions",
    "completions",
    "embeddings",
    "messages",
    "messages/count_tokens",
)
SINGLE_TARGET: tuple[adapter.Operation, ...] = ("completions", "embeddings")
"""Operations that no group, ensemble or router serves."""


class Compiler:
    """Builds snapshots for one worker: they share its pools and TLS contexts."""

    def __init__(self, config: Config, pools: Pools, log: Log) -> None:
        self._config = config
        self._pools = pools
        self._log = log
        self._contexts = Contexts(config.upstream.tls)

    def snapshot(self, revision: int, resources: Resources) -> Snapshot:
        """The snapshot of a set of resources. O(rows). What only an older one needs is let go of."""
        self._pools.renew()
        self._contexts.renew()
        keys = {row.id: row for row in resources.provider_keys}
        models = {
            row.value.display_name: self._target(row, keys.get(row.value.provider_key_id or ""))
            for row in resources.models
        }
        by_id = {row.id: caller(row) for row in resources.api_keys}
        callers = {row.value.key_hash: by_id[row.id] for row in resources.api_keys}
        identity = compile_identity(resources, by_id)
        self._pools.retire_unused()
        self._contexts.drop_unused()
        listed = listing(resources.models, self._config.namespace, self._config.proxy.list_virtual_models)
        return Snapshot(revision, callers, models, listed, identity)

    def _target(self, row: Row[Model], key_row: Row[ProviderKey] | None) -> Target:
        model, upstream = row.value, self._config.upstream
        key = key_row.value if key_row is not None else None
        operations, flaws = self._operations(model, key)
        locate = None
        if "*" in (model.model_name or "") and (flaws or any(operation.located for operation in operations.values())):

            def locate(name: str) -> tuple[dict[str, Operation], Flaws]:
                return self._operations(msgspec.structs.replace(model, model_name=name), key)

        stream_timeout, configured = stream_deadline(
            model.stream_timeout, model.timeout, upstream.stream_timeout_ms, upstream.timeout_ms
        )
        return Target(
            id=row.id,
            name=model.display_name,
            provider=model.provider or "",
            model_name=model.model_name or "",
            model_json=orjson.dumps(model.model_name or ""),
            key_id=key_row.id if key_row is not None else model.provider_key_id or "",
            key_name=key.display_name if key is not None else "unknown",
            operations=operations,
            flaws=flaws,
            networks=Networks(model.allowed_cidrs) if model.allowed_cidrs else None,
            overrides=overrides_for(key, self._config.namespace) if key is not None else None,
            retries=model.retries,
            timeout=answer_deadline(model.timeout, upstream.timeout_ms),
            stream_timeout=stream_timeout,
            stream_configured=configured,
            locate=locate,
        )

    def _operations(self, model: Model, key: ProviderKey | None) -> tuple[dict[str, Operation], Flaws]:
        operations: dict[str, Operation] = {}
        flaws: Flaws = {}
        for operation in OPERATIONS:
            try:
                operations[operation] = self._operation(operation, model, key)
            except GatewayError as error:
                flaws[operation] = flaw(error)
        return operations, flaws

    def _operation(self, operation: adapter.Operation, model: Model, key: ProviderKey | None) -> Operation:
        if model.shape != "direct":
            raise virtual(operation, model)
        if key is None:
            named = f"unknown provider_key_id {quoted(model.provider_key_id or '')}"
            reason = f"model {quoted(model.display_name)} references {named}"
            raise invalid_request(reason, param="model", code="invalid_parameter")
        endpoint = adapter_for(operation, model, key).endpoint(operation, model, key, self._config.namespace)

        def origin(place: UpstreamURL) -> Origin:
            context = self._context(key) if place.scheme == "https" else None
            return Origin(place.scheme, place.host, place.port, context)

        url = endpoint.url
        pool = self._pools.get(origin(url))
        return Operation(
            url,
            pool,
            pool.addressed(endpoint.head, url.authority),
            pool.addressed(endpoint.stream_head, url.authority),
            lambda place: self._pools.visit(origin(place)),
            family=endpoint.family,
            translate=endpoint.translate,
            native=endpoint.native,
            flatten=endpoint.flatten,
            grant=endpoint.grant,
            located=endpoint.located,
        )

    def _context(self, key: ProviderKey) -> ssl.SSLContext:
        trust = KeyTrust()
        if key.tls is not None:
            trust = KeyTrust(key.tls.ca_cert, key.tls.verify)
        try:
            return self._contexts.get(trust)
        except TlsError as error:
            if trust.ca_cert is not None:
                self._log.error(
                    "fastgw::config", "provider key trust is unusable", provider_key=key.display_name, error=str(error)
                )
        try:
            return self._contexts.get(KeyTrust(None, trust.verify))
        except TlsError as error:
            # A file of the deployment that was good at start is gone: only what needs it suffers.
            raise misconfigured("upstream.tls cannot be used", str(error)) from None


def caller(row: Row[ApiKey]) -> Caller:
    """The compiled form of an API key."""
    key = row.value
    return Caller(
        id=row.id,
        name=key.display_name,
        models=ModelPatterns(key.allowed_models),
        disabled=key.disabled,
        expires_at=key.expires_at_unix(),
        team_id=key.team_id,
        user_id=key.user_id,
        user_name=key.user_name,
    )


def listing(models: Iterable[Row[Model]], namespace: str, virtual: bool) -> list[tuple[str, str]]:
    """(id, owner) of every name that is no wildcard, in byte order of the names. ``virtual``: of groups, ensembles and
    routers as well."""
    owners = {
        row.value.display_name: row.value.provider or (namespace if virtual else None)
        for row in models
        if "*" not in row.value.display_name
    }
    named = ((name, owner) for name, owner in owners.items() if owner is not None)
    return sorted(named, key=lambda entry: entry[0].encode())


def virtual(operation: adapter.Operation, model: Model) -> GatewayError:
    """What a call of a model that other models serve gets."""
    name = quoted(model.display_name)
    if operation not in SINGLE_TARGET:
        reason = f"model {name} is a {VIRTUAL[model.shape].label}, which this version does not serve"
        return GatewayError(503, "provider_unavailable", reason, fault="gateway")
    reason = f"model {name} has no provider (routing models can't be dispatched directly)"
    if model.shape == "ensemble":
        reason = f"model `{model.display_name}` is an ensemble model; only /v1/chat/completions is supported"
    return invalid_request(reason, param="model", code="invalid_parameter")


def flaw(error: GatewayError) -> Callable[[], GatewayError]:
    """The error afresh for each request: a raised exception keeps what it passed through."""
    # The closure must not keep this one either: its traceback leads to every resource of its configuration.
    status, kind, message, fault = error.status, error.type, error.message, error.fault
    code, param, cause = error.code, error.param, error.cause

    def fresh() -> GatewayError:
        return GatewayError(status, kind, message, fault=fault, code=code, param=param, cause=cause)

    return fresh
