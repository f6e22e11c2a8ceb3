"""Counters by name that all processes of a gateway share, without anybody who hands them out.

An open-addressed table in the cells of the board, two cells per slot: the hash of a name, 0 while the slot is free, and
the value. Whoever first asks for a name claims its slot with one compare-and-swap; slots are never given back, so a
gateway can follow as many names in its life as the table has room for. A name without room counts nowhere.
"""

from hashlib import blake2b

from fastgw._speedups.cells import Cell, Cells

PROBES = 64
"""Slots that are looked at for a name. A table that is half full needs three on average."""


class NamedCells:
    """`slots` slots in the cells from `start` on."""

    def __init__(self, cells: Cells, start: int, slots: int) -> None:
        self._cells = cells
        self._start = start
        self._slots = slots

    @classmethod
    def private(cls, slots: int = PROBES) -> "NamedCells":
        """A table outside of any board."""
        return cls(Cells(-1, 2 * slots), 0, slots)

    def claim(self, name: str) -> int | None:
        """The index of the value of a name, for `add` and `cell`; None when there is no room."""
        key, index = self._find(name)
        while index is not None and not self._cells.cas(index, 0, key) and self._cells.get(index) != key:
            # Somebody else took the slot in this moment, for another name.
            key, index = self._find(name)
        return None if index is None else index + 1

    def value(self, name: str) -> int:
        """What is counted under a name, 0 if nothing. Claims no slot."""
        key, index = self._find(name)
        return self._cells.get(index + 1) if index is not None and self._cells.get(index) == key else 0

    def add(self, index: int, n: int) -> None:
        """Count; any number of writers."""
        self._cells.add(index, n)

    def cell(self, index: int) -> Cell:
        """A value by itself, for those who read it often or set it back. `Cell.inc` loses what others count."""
        return Cell(self._cells, index)

    def _find(self, name: str) -> tuple[int, int | None]:
        """The hash of a name and its slot: its own, else the free one where it belongs."""
        digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        key = int.from_bytes(digest, "big") >> 1 or 1
        for step in range(min(PROBES, self._slots)):
            index = self._start + 2 * ((key + step) % self._slots)
            if self._cells.get(index) in (key, 0):
                return key, index
        return key, None
