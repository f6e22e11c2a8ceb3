"""How often in a row a model failed: one number per display name, common to all workers."""

from collections.abc import Callable

from fastgw._speedups.cells import Cell
from fastgw.state.named import NamedCells

DEGRADED, UNHEALTHY = 4, 8


class Failures:
    """One process's view. A model gets its slot with its first outcome. `full` is told once when there is none: models
    without a slot are served like all others and count as healthy."""

    def __init__(self, named: NamedCells, full: Callable[[], None] | None = None) -> None:
        self._named = named
        self._full = full
        self._slots: dict[str, int | None] = {}

    def failed(self, model: str) -> None:
        """One more failure."""
        slot = self._slot(model)
        if slot is not None:
            self._named.add(slot, 1)

    def of(self, model: str) -> Cell | None:
        """The number of failures, which a success sets back to 0; None when there was no room for the model."""
        slot = self._slot(model)
        return None if slot is None else self._named.cell(slot)

    def level(self, model: str) -> int:
        """0 below 4 failures in a row, 1 from 4, 2 from 8."""
        count = self._named.value(model)
        return (count >= DEGRADED) + (count >= UNHEALTHY)

    def _slot(self, model: str) -> int | None:
        try:
            return self._slots[model]
        except KeyError:
            slot = self._slots[model] = self._named.claim(model)
            if slot is None and self._full is not None:
                self._full()
                self._full = None
            return slot
