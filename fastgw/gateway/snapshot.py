"""One applied configuration: everything a request needs, looked up in O(1).

What a snapshot shows never changes. It has every row in its encoded form; what a request needs is compiled when it is
first asked for and remembered, by the newest snapshot, until a row that it was made from changes. A request pins the
snapshot that was current when it began; one that is still held when the next takes over compiles anew what it needs.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import orjson

from fastgw.core.errors import GatewayError
from fastgw.gateway.tables import Version, ids
from fastgw.policy.access import ModelPatterns, Networks, best_wildcard, substitute
from fastgw.providers.adapter import Endpoint
from fastgw.providers.overrides import Overrides
from fastgw.providers.place import UpstreamURL
from fastgw.resources.change import decode_value
from fastgw.resources.models import Row
from fastgw.upstream.pool import Pool

if TYPE_CHECKING:
    from fastgw.gateway.compile import Compiler
    from fastgw.gateway.identity import Identity

MAX_CAPTURED = 1024
"""Names whose wildcard row is remembered; callers choose them, so there is a bound."""
MAX_CAPTURED_NAME = 256
"""Characters of the longest one that is."""
MAX_REMEMBERED = 1024
"""Names, targets and outcomes that are remembered per caller: models come and go while a key stays."""


K = TypeVar("K")
V = TypeVar("V")


def remember(memory: dict[K, V], key: K, value: V) -> V:
    """Add to what is remembered for a caller, within its bound."""
    if len(memory) >= MAX_REMEMBERED:
        memory.clear()
    memory[key] = value
    return value


@dataclass(slots=True, eq=False)
class Caller:
    """An API key. `expires_at` in Unix seconds. `granted` remembers configured names that `models` allows, `series`
    the metric series of its outcomes."""

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


@dataclass(frozen=True, slots=True)
class Operation:
    """How one operation reaches one target: the endpoint as its family made it, and where requests for it go.

    The heads are constant and end where the request id goes. After a redirect, `url` and they are those of another
    place. `reach` finds the pool for another URL with the trust of the same provider key (for redirects). `own`: the
    place is the provider's own, so that what is configured for it may be sent there."""

    endpoint: Endpoint
    url: UpstreamURL
    pool: Pool
    head: bytes
    stream_head: bytes
    reach: Callable[[UpstreamURL], Pool]
    own: bool = True


Flaws = dict[str, Callable[[str], GatewayError]]


class Labels:
    """Stands for what metrics say of a target (gateway/series.py): targets that look the same there have the same one,
    see `Compiler.target`."""

    __slots__ = ("__weakref__",)


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A direct model with its provider key, ready to be called.

    Times in seconds, None = unbounded. `retries` None means that the deployment's default applies. `flaws` maps an
    operation to the error that every call of it gets, because nothing can be sent. `row` is the identity for
    metrics; the targets of a wildcard row share it. `providers`: by operation, whom metrics and log lines name as the
    provider. `locate` is there for a wildcard row whose URLs name the model: the
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
    labels: Labels = field(default_factory=Labels)
    providers: Mapping[str, str] = field(default_factory=dict)
    row: "Target | None" = None
    locate: Callable[[str], tuple[dict[str, Operation], Flaws]] | None = None

    def captured(self, text: str) -> "Target":
        """This wildcard row serving a name in which `*` stood for `text`."""
        name = substitute(self.model_name, text)
        operations, flaws = (self.operations, self.flaws) if self.locate is None else self.locate(name)
        return replace(
            self, model_name=name, model_json=orjson.dumps(name), operations=operations, flaws=flaws, row=self
        )


NAMES: Final = "models by name"
HASHES: Final = "API keys by hash"
WILDCARDS: Final = "direct models by a name with one *"
BOUND: Final = "API keys by identity provider and subject"
"""Indexes: tables whose values are `Ids`."""

_EMPTY: Final[Version[Any, Any]] = Version({})


class _Listed(msgspec.Struct, frozen=True):
    """What the model list tells of a model."""

    display_name: str
    provider: str | None = None


_listed: Final = msgspec.msgpack.Decoder(_Listed)


class Compiled:
    """What has been compiled so far, for one version of the rows: callers by hash and by id, targets by name, the names
    of the targets that were made with a provider key, and names with the wildcard that serves them."""

    __slots__ = ("by_id", "callers", "captured", "models", "users")

    def __init__(self) -> None:
        self.callers: dict[str, Caller] = {}
        self.by_id: dict[str, Caller] = {}
        self.models: dict[str, Target] = {}
        self.users: dict[str, set[str]] = {}
        self.captured: dict[str, Target] = {}

    def clear(self) -> None:
        for table in (self.callers, self.by_id, self.models, self.users, self.captured):
            table.clear()

    def forget_row(self, kind: str, id: str) -> None:
        """A row has changed."""
        if kind == "api_keys":
            self.by_id.pop(id, None)
        elif kind == "provider_keys":
            self.captured.clear()
            for name in self.users.pop(id, ()):
                self.models.pop(name, None)

    def forget_key(self, index: str, key: Hashable) -> None:
        """A row that is, or was, found under a key of an index has changed."""
        if index == HASHES:
            self.callers.pop(key, None)  # type: ignore[call-overload]
        elif index == NAMES:
            self.captured.clear()
            target = self.models.pop(key, None)  # type: ignore[call-overload]
            names = self.users.get(target.key_id) if target is not None else None
            if names is not None:
                names.discard(key)
                if not names:
                    del self.users[target.key_id]


class Snapshot:
    """`callers` and `models` are what has been asked for before; `key_caller` and `model` find the rest. `identity` is
    None when no identity provider is enabled. `tables` are the rows by kind (id to encoded value) and the indexes."""

    __slots__ = (
        "_compiled",
        "_compiler",
        "_listing",
        "_tables",
        "_wildcards",
        "callers",
        "identity",
        "models",
        "revision",
    )

    def __init__(
        self,
        revision: int,
        compiler: "Compiler",
        tables: Mapping[str, Version[Any, Any]],
        compiled: Compiled | None = None,
    ) -> None:
        self.revision = revision
        self.identity: Identity | None = None
        self._compiler = compiler
        self._tables = tables
        self._listing: list[tuple[str, str]] | None = None
        self._wildcards: tuple[str, ...] = ()
        self._adopt(compiled or Compiled())

    def key_caller(self, key_hash: str) -> Caller | None:
        """The caller with the key of this SHA-256 (hex); of several the one with the greatest id."""
        found = self.callers.get(key_hash)
        if found is None:
            rows = ids(self._table(HASHES).get(key_hash))
            found = self.caller(rows[-1]) if rows else None
            if found is not None:
                self.callers[key_hash] = found
        return found

    def caller(self, id: str) -> Caller | None:
        """The caller with this id."""
        found = self._compiled.by_id.get(id)
        if found is None:
            value = self.row("api_keys", id)
            if value is not None:
                found = self._compiled.by_id[id] = self._compiler.caller(Row(id, value))
        return found

    def bound(self, provider: str, subject: str) -> tuple[str, ...]:
        """Ids of the API keys that are bound to an identity."""
        return ids(self._table(BOUND).get((provider, subject)))

    def model(self, name: str) -> Target | None:
        """The target that serves a requested name: exact, else the longest matching wildcard."""
        target = self.models.get(name)
        if target is not None:
            return target
        target = self._compiled.captured.get(name)
        return target if target is not None else self._found(name)

    def _found(self, name: str) -> Target | None:
        target = self._target(name)
        if target is not None or not self._wildcards:
            return target
        match = best_wildcard(self._wildcards, name)
        if match is None:
            return None
        pattern, text = match
        row = self.models.get(pattern) or self._target(pattern)
        assert row is not None
        target = row.captured(text)
        if len(name) <= MAX_CAPTURED_NAME:
            captured = self._compiled.captured
            if len(captured) >= MAX_CAPTURED:
                captured.clear()
            captured[name] = target
        return target

    def row(self, kind: str, id: str) -> Any:
        """The row of a kind with this id, or None."""
        data = self._table(kind).get(id)
        return None if data is None else decode_value(kind, data)

    def rows(self, kind: str) -> list[Row[Any]]:
        """All rows of a kind. O(rows): for small kinds, and not for every request."""
        return [Row(id, decode_value(kind, data)) for id, data in self._table(kind).items()]

    @property
    def listing(self) -> list[tuple[str, str]]:
        """(name, owner) of every model whose name is no wildcard, in byte order of the names. O(models) once."""
        if self._listing is None:
            index = self._table(NAMES)
            listed = ((id, _listed.decode(data)) for id, data in self._table("models").items())
            owned = (
                (model.display_name, self._compiler.owner(model.provider))
                for id, model in listed
                if "*" not in model.display_name and ids(index.get(model.display_name))[-1] == id
            )
            self._listing = sorted((name, owner) for name, owner in owned if owner is not None)
        return self._listing

    def targets(self) -> Iterator[Target]:
        """What has been compiled for models so far."""
        return chain(self.models.values(), self._compiled.captured.values())

    def retire(self) -> Compiled:
        """Give what was compiled to a successor. Requests that still hold this snapshot are served from its rows."""
        compiled = self._compiled
        self._adopt(Compiled())
        return compiled

    def inherit(self, old: "Snapshot", *, models: bool, wildcards: bool) -> None:
        """Take over what follows from the rows. `models`: rows of models differ, `wildcards`: which are wildcards."""
        if not models:
            self._listing = old._listing
        self._wildcards = old._wildcards
        if wildcards:
            self._wildcards = tuple(sorted(name for name, _ in self._table(WILDCARDS).items()))

    def _adopt(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self.callers = compiled.callers
        self.models = compiled.models

    def _table(self, name: str) -> Version[Any, Any]:
        return self._tables.get(name, _EMPTY)

    def _target(self, name: str) -> Target | None:
        rows = ids(self._table(NAMES).get(name))
        if not rows:
            return None
        model = self.row("models", rows[-1])
        key = None if model.provider_key_id is None else self.row("provider_keys", model.provider_key_id)
        target = self._compiler.target(Row(rows[-1], model), None if key is None else Row(model.provider_key_id, key))
        self.models[name] = target
        self._compiled.users.setdefault(target.key_id, set()).add(name)
        return target
