"""From validated rows to what requests work with: what would otherwise be done per request is done here, once."""

import contextlib
import ssl
from collections.abc import Callable, Iterable, Mapping
from weakref import WeakValueDictionary

import msgspec
import orjson

from fastgw.config.schema import Config
from fastgw.core.errors import GatewayError, invalid_request, misconfigured
from fastgw.gateway.snapshot import Caller, Flaws, Labels, Operation, Target
from fastgw.policy.access import ModelPatterns, Networks
from fastgw.policy.deadlines import answer_deadline, stream_deadline
from fastgw.providers import adapter
from fastgw.providers.place import UpstreamURL
from fastgw.providers.registry import adapter_for, located, overrides_for
from fastgw.resources.models import VIRTUAL, ApiKey, Model, ProviderKey, Row
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
    "responses",
)
GROUPED: tuple[adapter.Operation, ...] = ("messages", "messages/count_tokens", "responses")
"""Operations that groups serve, and neither ensembles nor routers. Chat is served by all of them, the rest by none."""


Trusts = dict[str, tuple[KeyTrust, ssl.SSLContext]]
"""By the id of the provider key that they belong to."""


class Compiler:
    """Compiles for one worker: the results share its pools and TLS contexts."""

    def __init__(self, config: Config, pools: Pools, log: Log) -> None:
        self._config = config
        self._pools = pools
        self._log = log
        self._contexts = Contexts(config.upstream.tls)
        self._held: Trusts = {}
        self._labels: WeakValueDictionary[tuple[str, ...], Labels] = WeakValueDictionary()

    def prepare(self, trusts: Mapping[str, KeyTrust | None]) -> Trusts:
        """The contexts of provider keys that have settings of their own. Takes tens of milliseconds for each, mostly
        outside of Python: made for a thread."""
        made: Trusts = {}
        for id, trust in trusts.items():
            # What cannot be made is an error of the calls that need it.
            with contextlib.suppress(GatewayError):
                if trust is not None:
                    made[id] = trust, self._made(id, trust)
        return made

    def hold(self, changed: Mapping[str, KeyTrust | None], held: Trusts) -> None:
        """Provider keys have changed; `held` is what `prepare` made for them."""
        for id in changed:
            self._held.pop(id, None)
        self._held.update(held)

    def tidy(self, targets: Iterable[Target]) -> None:
        """Let go of the pools and contexts that neither the provider keys nor these targets use. O(targets)."""
        self._pools.renew()
        self._contexts.renew()
        for target in targets:
            for operation in target.operations.values():
                self._pools.keep(operation.pool)
        for trust in (KeyTrust(), KeyTrust(None, False), *(trust for trust, _ in self._held.values())):
            self._contexts.keep(trust)
        self._pools.retire_unused()
        self._contexts.drop_unused()

    def caller(self, row: Row[ApiKey]) -> Caller:
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

    def target(self, row: Row[Model], key_row: Row[ProviderKey] | None) -> Target:
        """The compiled form of a direct model with its provider key."""
        model, upstream = row.value, self._config.upstream
        key = key_row.value if key_row is not None else None
        operations, flaws = self._operations(model, key_row)
        locate = None
        if "*" in (model.model_name or "") and key is not None and located(key):

            def locate(name: str) -> tuple[dict[str, Operation], Flaws]:
                return self._operations(msgspec.structs.replace(model, model_name=name), key_row)

        stream_timeout, configured = stream_deadline(
            model.stream_timeout, model.timeout, upstream.stream_timeout_ms, upstream.timeout_ms
        )
        key_id = key_row.id if key_row is not None else model.provider_key_id or ""
        vendor = (model.provider or "").lower()
        key_name = key.display_name if key is not None else "unknown"
        return Target(
            id=row.id,
            name=model.display_name,
            provider=model.provider or "",
            model_name=model.model_name or "",
            model_json=orjson.dumps(model.model_name or ""),
            key_id=key_id,
            key_name=key_name,
            operations=operations,
            flaws=flaws,
            networks=Networks(model.allowed_cidrs) if model.allowed_cidrs else None,
            overrides=overrides_for(key, self._config.namespace) if key is not None else None,
            retries=model.retries,
            timeout=answer_deadline(model.timeout, upstream.timeout_ms),
            stream_timeout=stream_timeout,
            stream_configured=configured,
            labels=self._interned(
                *(model.provider or "", model.display_name, model.model_name or "", key_id, key_name),
                # What a native relay is counted under is the family's name.
                *(f"{name} {made.endpoint.family}" for name, made in operations.items() if made.endpoint.native),
            ),
            # On a native relay it is the vendor whose protocol it is.
            providers={
                name: made.endpoint.family if made.endpoint.native else vendor for name, made in operations.items()
            },
            locate=locate,
        )

    def _operations(self, model: Model, key: Row[ProviderKey] | None) -> tuple[dict[str, Operation], Flaws]:
        operations: dict[str, Operation] = {}
        flaws: Flaws = {}
        for operation in OPERATIONS:
            try:
                operations[operation] = self._operation(operation, model, key)
            except GatewayError as error:
                flaws[operation] = flaw(error, model.display_name)
        return operations, flaws

    def _operation(self, operation: adapter.Operation, model: Model, key_row: Row[ProviderKey] | None) -> Operation:
        if model.shape != "direct":
            raise virtual(operation, model)
        if key_row is None:
            named = f"unknown provider_key_id {quoted(model.provider_key_id or '')}"
            reason = f"model {quoted(model.display_name)} references {named}"
            raise invalid_request(reason, param="model", code="invalid_parameter")
        key, key_id = key_row.value, key_row.id
        endpoint = adapter_for(operation, model, key).endpoint(operation, model, key, self._config.namespace)

        def origin(place: UpstreamURL) -> Origin:
            context = self._context(key_id, key) if place.scheme == "https" else None
            return Origin(place.scheme, place.host, place.port, context)

        url = endpoint.url
        pool = self._pools.get(origin(url))
        return Operation(
            endpoint,
            url,
            pool,
            pool.addressed(endpoint.head, url.authority),
            pool.addressed(endpoint.stream_head, url.authority),
            lambda place: self._pools.visit(origin(place)),
        )

    def owner(self, provider: str | None) -> str | None:
        """Who the model list says owns a model; None: it is not listed. Virtual models have no provider."""
        return provider or (self._config.namespace if self._config.proxy.list_virtual_models else None)

    def _context(self, id: str, key: ProviderKey) -> ssl.SSLContext:
        trust = KeyTrust(key.tls.ca_cert, key.tls.verify) if key.tls is not None else KeyTrust()
        held = self._held.get(id)
        # Another one: a request that still works with an older version of the key.
        return held[1] if held is not None and held[0] == trust else self._made(id, trust)

    def _made(self, id: str, trust: KeyTrust) -> ssl.SSLContext:
        try:
            return self._contexts.get(trust)
        except TlsError as error:
            if trust.ca_cert is not None:
                self._log.error("fastgw::config", "provider key trust is unusable", provider_key=id, error=str(error))
        try:
            return self._contexts.get(KeyTrust(None, trust.verify))
        except TlsError as error:
            # A file of the deployment that was good at start is gone: only what needs it suffers.
            raise misconfigured("upstream.tls cannot be used", str(error)) from None

    def _interned(self, *labels: str) -> Labels:
        found = self._labels.get(labels)
        if found is None:
            found = self._labels[labels] = Labels()
        return found


def virtual(operation: adapter.Operation, model: Model) -> GatewayError:
    """What a call of a model that other models serve gets."""
    name = quoted(model.display_name)
    if operation == "chat/completions" or (operation in GROUPED and model.shape == "routing"):
        reason = f"model {name} is a {VIRTUAL[model.shape].label}, which this version does not serve"
        return GatewayError(503, "provider_unavailable", reason, fault="gateway")
    reason = f"model {name} has no provider (routing models can't be dispatched directly)"
    if model.shape == "ensemble":
        reason = f"model `{model.display_name}` is an ensemble model; only /v1/chat/completions is supported"
    return invalid_request(reason, param="model", code="invalid_parameter")


def flaw(error: GatewayError, pattern: str) -> Callable[[str], GatewayError]:
    """The error afresh for each request, made of the name that it asks for: a raised exception keeps what it passed
    through. In backquotes an error has the requested name, of which `pattern` is the model's."""
    # The closure must not keep this one either: its traceback leads to every resource of its configuration.
    status, kind, message, fault = error.status, error.type, error.message, error.fault
    code, param, cause = error.code, error.param, error.cause

    def fresh(alias: str) -> GatewayError:
        told = message.replace(f"`{pattern}`", f"`{alias}`")
        return GatewayError(status, kind, told, fault=fault, code=code, param=param, cause=cause)

    return fresh
