"""When everything is read again, and how long failures wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from fastgw.resources.etcd.client import Loaded
from fastgw.resources.etcd.follow import follow
from fastgw.resources.etcd.wire import Compacted, EtcdError, Event, KeyValue

EVENT = Event(KeyValue(b"k", b"v", 8))


class Over(Exception):
    """The script has been played."""


class Script:
    """A client and a sink: `steps` are played one after the other, `heard` is what became of them.

    A step is (outcome of the load, what the watch yields, how it ends, seconds that it lasts)."""

    def __init__(self, *steps: tuple[Any, list[list[Event]], Any, float]) -> None:
        self._steps = list(steps)
        self._watch: Any = None
        self.heard: list[Any] = []
        self.now = 0.0

    async def load(self) -> Loaded:
        if not self._steps:
            raise Over
        outcome, *self._watch = self._steps.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return Loaded(outcome, [])

    async def watch(self, revision: int) -> AsyncGenerator[list[Event], None]:
        batches, end, seconds = self._watch
        self.heard.append(f"from {revision}")
        for batch in batches:
            yield batch
        self.now += seconds
        if end is not None:
            raise end

    async def drop(self) -> None:
        self.heard.append("drop")

    async def loaded(self, loaded: Loaded) -> None:
        self.heard.append(f"loaded {loaded.revision}")

    async def changed(self, events: list[Event]) -> None:
        self.heard.append(len(events))

    def failed(self, error: EtcdError) -> None:
        self.heard.append(f"failed {error}")

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.heard.append(seconds)


def play(monkeypatch: pytest.MonkeyPatch, *steps: Any) -> list[Any]:
    script = Script(*steps)

    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(asyncio.get_running_loop(), "time", lambda: script.now)
            with pytest.raises(Over):
                await follow(script, script, script.sleep)  # type: ignore[arg-type]

    asyncio.run(main())
    # The last entry belongs to the end of the script.
    return script.heard[:-1]


DOWN = EtcdError("down")


def test_a_cycle(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = play(monkeypatch, (7, [[EVENT], [EVENT, EVENT]], None, 0.0), (9, [], None, 0.0))
    assert heard == ["loaded 7", "from 8", 1, 2, "drop", 0.1, "loaded 9", "from 10", "drop", 0.1]


@pytest.mark.parametrize("step", [(7, [], Compacted("c"), 0.0), (Compacted("c"), [], None, 0.0)])
def test_a_compaction_is_no_failure(monkeypatch: pytest.MonkeyPatch, step: Any) -> None:
    heard = play(monkeypatch, step, (7, [], Compacted("c"), 0.0))
    assert [entry for entry in heard if isinstance(entry, float)] == [0.1, 0.1]
    assert not [entry for entry in heard if str(entry).startswith("failed")]


def test_failures_wait_longer_and_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = play(monkeypatch, *[(DOWN, [], None, 0.0)] * 8)
    assert heard[:3] == ["failed down", "drop", 1.0]
    assert [entry for entry in heard if isinstance(entry, float)] == [1, 2, 4, 8, 16, 32, 60, 60]


def waits(monkeypatch: pytest.MonkeyPatch, *steps: Any) -> list[float]:
    return [entry for entry in play(monkeypatch, *steps) if isinstance(entry, float)]


def test_what_ends_the_doubling(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = (DOWN, [], None, 0.0)
    # A watch that breaks at once, time after time, does not.
    assert waits(monkeypatch, failure, failure, *[(7, [], DOWN, 0.0)] * 3) == [1, 2, 4, 8, 16]
    # One that has lasted does.
    assert waits(monkeypatch, failure, failure, (7, [], DOWN, 5.0), failure) == [1, 2, 1, 2]
    # So does one that ended in order.
    assert waits(monkeypatch, failure, failure, (7, [], None, 0.0), failure) == [1, 2, 0.1, 1]
    assert waits(monkeypatch, failure, failure, (7, [], Compacted("c"), 0.0), failure) == [1, 2, 0.1, 1]
