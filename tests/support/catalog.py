"""A worker's configuration in a test: rows in, snapshots out."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from fastgw.config.schema import Config, Proxy
from fastgw.gateway.catalog import Catalog
from fastgw.gateway.compile import Compiler
from fastgw.gateway.snapshot import Snapshot, Target
from fastgw.resources.change import encode_value
from fastgw.resources.kinds import find_kind
from fastgw.telemetry.log import Log
from fastgw.upstream.pool import Pools, PoolSettings


class Rows:
    """A catalog whose changes are visible at once. Without a compiler, no model can be asked for."""

    def __init__(self, compiler: Compiler | None = None) -> None:
        self.revision = 0
        nothing: Any = None
        config = Config(proxy=Proxy(addr="127.0.0.1:1"))
        self.catalog = Catalog(compiler or Compiler(config, nothing, Log(0)), lambda: self.revision)

    def change(
        self,
        puts: Mapping[str, Mapping[str, Any]] | None = None,
        deletes: Iterable[tuple[str, str]] = (),
        *,
        bulk: bool = False,
        publish: bool = True,
    ) -> Snapshot:
        """Stage rows, given by kind and id as documents or values, and make them visible."""
        number = self.revision + 1
        for kind, id in deletes:
            self.catalog.stage(number, kind, (), (id,), bulk)
        for kind, rows in (puts or {}).items():
            self.catalog.stage(number, kind, [(id, encoded(kind, value)) for id, value in rows.items()], (), bulk)
        self.catalog.stage(number, "models", (), (), bulk).complete = True
        if publish:
            self.revision = number
        return self.catalog.current()


def encoded(kind: str, value: Any) -> bytes:
    """The row of a document or a value as workers get it."""
    if isinstance(value, msgspec.Struct):
        return encode_value(value)
    known = find_kind(kind)
    assert known is not None and known.struct is not None
    return encode_value(msgspec.convert(value, known.struct))


def snapshot_of(targets: Mapping[str, Target]) -> Snapshot:
    """A snapshot in which these targets have been asked for before."""
    common = {"provider": "p", "model_name": "m", "provider_key_id": "k"}
    snapshot = Rows().change({"models": {name: {"display_name": name, **common} for name in targets}})
    snapshot.models.update(targets)
    return snapshot


def compiler(config: Config | None = None) -> Compiler:
    """With pools of its own, on the running loop."""
    pools = Pools(asyncio.get_running_loop(), PoolSettings())
    return Compiler(config or Config(proxy=Proxy(addr="127.0.0.1:1")), pools, Log(0))
