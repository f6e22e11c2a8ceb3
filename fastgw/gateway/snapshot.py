"""One applied configuration, compiled: everything a request needs, looked up in O(1).

A snapshot never changes after it was built, except for caches that only remember what follows from it. A request
pins the snapshot that was current when it began.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson

from fastgw.core.errors import GatewayError
from fastgw.core.grants import Grant
from fastgw.policy.access import ModelPatterns, Networks, best_wildcard, substitute
from fastgw.providers.adapter import Translate
from fastgw.providers.failures import Family
from fastgw.providers.overrides import Overrides
from fastgw.providers.place import UpstreamURL
from fastgw.upstream.pool import Pool

if TYPE_CHECKING:
    from fastgw.gateway.identity import Identity

MAX_CAPTURED = 1024
"""Names whose wildcard row is remembered; callers choose them, so there is a bound."""
MAX_CAPTURED_NAME = 256
"""Characters of the longest one that is."""


@dataclass(slots=True, eq=False)
class Caller:
    """An API key. `expires_at` in Unix seconds. `granted` remembers configured names that `models` allows, `series`
    the metric series of its outcomes, `shown` what log lines say about a target and it."""

    id: str
    name: str | None
    models: ModelPatterns
    disabled: bool
    expires_at: float | None
    team_id: str | None
    user_id: str | None
    user_name: str | None
    granted: set[str] = field(default_factory=set)
    series: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    shown: "dict[tuple[Target, str], bytes]" = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """How one operation reaches one target: constant request heads that end where the request id goes.

    `reach` finds the pool for another URL with the trust of the same provider key (for redirects). `own`: the place is
    the provider's own, so that what is configured for it may be sent there. `translate` None: the upstream speaks the
    caller's dialect. See `providers.adapter.Endpoint` for the rest."""

    url: UpstreamURL
    pool: Pool
    head: bytes
    stream_head: bytes
    reach: Callable[[UpstreamURL], Pool]
    own: bool = True
    family: Family = "openai"
    translate: Translate | None = None
    native: bool = False
    flatten: bool = True
    grant: Grant | None = None
    located: bool = False


Flaws = dict[str, Callable[[], GatewayError]]


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A direct model with its provider key, ready to be called.

    Times in seconds, None = unbounded. `retries` None means that the deployment's default applies. `flaws` maps an
    operation to the error that every call of it gets, because nothing can be sent. `row` is the identity for
    metrics; the targets of a wildcard row share it. `locate` is there for a wildcard row whose URLs name the model: the
    operations of one upstream name.
    """

    id: str
    name: str
    provider: str
    model_name: str
    model_json: bytes
    key_id: str
    key_name: str
    operations: dict[str, Operation]
    flaws: Flaws
    networks: Networks | None
    overrides: Overrides | None
    retries: int | None
    timeout: float | None
    stream_timeout: float | None
    stream_configured: bool
    row: "Target | None" = None
    locate: Callable[[str], tuple[dict[str, Operation], Flaws]] | None = None

    def captured(self, text: str) -> "Target":
        """This wildcard row serving a name in which `*` stood for `text`."""
        name = substitute(self.model_name, text)
        operations, flaws = (self.operations, self.flaws) if self.locate is None else self.locate(name)
        return replace(
            self, model_name=name, model_json=orjson.dumps(name), operations=operations, flaws=flaws, row=self
        )


class Snapshot:
    """Callers by key hash, models by name. `listing`: (name, owner) for `GET /v1/models`, sorted by name. `identity`
    is None when no identity provider is enabled."""

    def __init__(
        self,
        revision: int,
        callers: dict[str, Caller],
        models: dict[str, Target],
        listing: list[tuple[str, str]],
        identity: "Identity | None" = None,
    ) -> None:
        self.revision = revision
        self.callers = callers
        self.models = models
        self.listing = listing
        self.identity = identity
        # A virtual model has no provider, and its name is never a pattern.
        self._wildcards = [name for name, target in models.items() if name.count("*") == 1 and target.provider]
        self._captured: dict[str, Target] = {}

    def model(self, name: str) -> Target | None:
        """The target that serves a requested name: exact, else the longest matching wildcard."""
        target = self.models.get(name)
        if target is not None or not self._wildcards:
            return target
        target = self._captured.get(name)
        if target is None and (match := best_wildcard(self._wildcards, name)) is not None:
            pattern, text = match
            target = self.models[pattern].captured(text)
            if len(name) <= MAX_CAPTURED_NAME:
                if len(self._captured) >= MAX_CAPTURED:
                    self._captured.clear()
                self._captured[name] = target
        return target
