"""The rows of the configuration in one worker, and the snapshots over them.

A change arrives in parts and is staged: indexed, but seen by nobody. It becomes visible with the first request after
the board shows its revision. Rows stay encoded until a request needs them (`gateway.snapshot`): staging costs the same
for every kind, and a worker holds a hundred thousand keys in little memory.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from fastgw.gateway.compile import Compiler
from fastgw.gateway.draft import Draft
from fastgw.gateway.identity import Identity, compile_identity
from fastgw.gateway.snapshot import BOUND, WILDCARDS, Snapshot
from fastgw.gateway.tables import Table

IDENTITY_KINDS: Final = frozenset({"oidc_providers", "claim_mappings", BOUND})


class Catalog:
    """One per worker. `revision` reads the revision that every worker has to serve."""

    def __init__(self, compiler: Compiler, revision: Callable[[], int]) -> None:
        self._compiler = compiler
        self._revision = revision
        self._tables: dict[str, Table[Any, Any]] = {}
        self._draft: Draft | None = None
        self._snapshot = Snapshot(0, compiler, {})

    def current(self) -> Snapshot:
        """The snapshot that every worker serves at this moment."""
        snapshot = self._snapshot
        if snapshot.revision == self._revision():
            return snapshot
        return self._advance()

    def stage(
        self,
        revision: int,
        kind: str,
        puts: Iterable[tuple[str, bytes]] = (),
        deletes: Iterable[str] = (),
        bulk: bool = False,
    ) -> Draft:
        """Take a part of a change; the first part of another revision completes or drops what was staged before. The
        draft serves once it is told that it is complete and the board shows its revision. O(part), with `bulk` O(rows)
        for the first part of a kind."""
        draft = self._draft
        if draft is None or draft.revision != revision:
            # What a worker without traffic has staged is visible to nobody but has to be the base of what follows.
            self._advance()
            draft = self._draft = Draft(revision, bulk, self._tables)
        for id in deletes:
            draft.put(kind, id, None)
        for id, data in puts:
            draft.put(kind, id, data)
        return draft

    def tidy(self) -> None:
        """Let go of what only older configurations needed. O(what is compiled); to be called some time after changes,
        not while a draft is being prepared."""
        self._compiler.tidy(self._advance().targets())

    def _advance(self) -> Snapshot:
        draft = self._draft
        if draft is not None and draft.complete and draft.revision <= self._revision():
            self._draft = None
            self._snapshot = self._apply(draft, self._snapshot)
        return self._snapshot

    def _apply(self, draft: Draft, old: Snapshot) -> Snapshot:
        compiled = old.retire()
        draft.apply(compiled)
        self._compiler.hold(draft.trusts, draft.held)
        versions = {name: table.version for name, table in self._tables.items()}
        new = Snapshot(draft.revision, self._compiler, versions, compiled)
        if draft.kinds & IDENTITY_KINDS:
            new.identity = self._identity(new)
        else:
            new.identity = old.identity
        new.inherit(old, models="models" in draft.kinds, wildcards=WILDCARDS in draft.kinds)
        return new

    def _identity(self, snapshot: Snapshot) -> Identity | None:
        return compile_identity(snapshot.rows("oidc_providers"), snapshot.rows("claim_mappings"))
