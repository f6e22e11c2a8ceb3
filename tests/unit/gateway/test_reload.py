"""What a reload leaves behind: nothing."""

import asyncio
import gc
import json
from pathlib import Path
from typing import Any

import pytest

from fastgw.config.load import load_config
from fastgw.config.schema import Config
from fastgw.core.tables import Shared
from fastgw.gateway.compile import Compiler
from fastgw.gateway.gateway import Gateway
from fastgw.gateway.snapshot import Snapshot
from fastgw.resources.file import load_resources
from fastgw.resources.models import Resources
from fastgw.state.board import Board
from fastgw.telemetry.log import Log
from fastgw.telemetry.metrics import Registry
from fastgw.upstream.pool import Pools, PoolSettings
from tests.support.gateway import resources


@pytest.fixture
def config(tmp_path: Path) -> Config:
    document = resources("not a url")
    document["provider_keys"].append({"display_name": "other", "adapter": "anthropic", "api_key": "secret"})
    document["models"].append({"display_name": "flawed", "model_name": "m", "provider": "x", "provider_key": "other"})
    (tmp_path / "resources.yaml").write_text(json.dumps(document))
    bootstrap = {
        "resources_file": str(tmp_path / "resources.yaml"),
        "proxy": {"addr": "127.0.0.1:3000"},
        "admin": {"enabled": False},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(bootstrap))
    return load_config(tmp_path / "config.yaml", {})


def test_a_model_that_cannot_be_called_keeps_no_old_configuration(config: Config) -> None:
    """A worker freezes the collector's view after each reload: what forms a cycle would stay for good."""

    async def scene() -> list[object]:
        pools = Pools(asyncio.get_running_loop(), PoolSettings())
        alive = survivors(config, Compiler(config, pools, Log(0)))
        await pools.close()
        return alive

    assert not asyncio.run(scene())


def survivors(config: Config, compiler: Compiler) -> list[object]:
    """The resources that still exist after a reload whose snapshot was dropped, without the collector's help."""

    def reload(revision: int) -> None:
        assert config.resources_file is not None
        snapshot = compiler.snapshot(revision, load_resources(Path(config.resources_file), {}))
        assert snapshot.models["flawed"].flaws["embeddings"]().status == 501
        assert snapshot.models["fast-chat"].flaws["embeddings"]().status == 400

    reload(1)
    gc.collect()
    gc.disable()
    try:
        reload(2)
        return [item for item in gc.get_objects() if isinstance(item, Resources)]
    finally:
        gc.enable()


def test_a_worker_without_traffic_does_not_collect_snapshots(config: Config) -> None:
    board = Board.create(1)
    registry = Registry(board.region(0), lambda definition: None)
    nothing: Any = None
    loop = asyncio.new_event_loop()
    gateway = Gateway(loop, config, board, 0, registry, Log(0), nothing, nothing, nothing, Shared({}))
    snapshots = [Snapshot(revision, {}, {}, [], nothing) for revision in range(1, 6)]
    for snapshot in snapshots:
        gateway.stage(snapshot)
        board.set_revision(snapshot.revision)
    assert len(gateway._staged) <= 2
    assert gateway.current() is snapshots[-1]
    gateway.stage(Snapshot(6, {}, {}, [], nothing))
    assert gateway.current() is snapshots[-1], "it serves once the board says so"
    board.close()
    loop.close()
