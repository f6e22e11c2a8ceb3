"""What `fastgw._speedups.cells.Cells` means, in Python, for one process."""

LOW, HIGH = -(2**63), 2**63 - 1
WINDOW_USED_MAX = 2**48 - 1
WINDOW_ID_MAX = 2**47 - 1


def wrap(value: int) -> int:
    """To a signed 64-bit integer."""
    return (value - LOW) % 2**64 + LOW


class CellsModel:
    def __init__(self, count: int) -> None:
        self.values = [0] * count
        self.windows: dict[int, tuple[int, int]] = {}

    def _check(self, i: int) -> None:
        if not 0 <= i < len(self.values):
            raise IndexError(i)

    def get(self, i: int) -> int:
        self._check(i)
        return self.values[i]

    def set(self, i: int, v: int) -> None:
        self._check(i)
        self.values[i] = v

    def add(self, i: int, n: int) -> int:
        self._check(i)
        self.values[i] = wrap(self.values[i] + n)
        return self.values[i]

    def bump(self, i: int, n: int) -> None:
        self.add(i, n)

    def swap(self, i: int, v: int) -> int:
        self._check(i)
        old, self.values[i] = self.values[i], v
        return old

    def cas(self, i: int, old: int, new: int) -> bool:
        self._check(i)
        if self.values[i] != old:
            return False
        self.values[i] = new
        return True

    def raise_to(self, i: int, v: int) -> None:
        self._check(i)
        self.values[i] = max(self.values[i], v)

    def take_slot(self, i: int, limit: int) -> bool:
        self._check(i)
        if self.values[i] >= limit:
            return False
        self.values[i] += 1
        return True

    def free_slot(self, i: int) -> None:
        self._check(i)
        if self.values[i] > 0:
            self.values[i] -= 1

    def take_window(self, i: int, window_id: int, limit: int, cost: int) -> int:
        self._check(i)
        self._check(i + 1)
        if not 0 <= window_id <= WINDOW_ID_MAX:
            raise ValueError(window_id)
        current, used = self.windows.get(i, (0, 0))
        if window_id > current:
            current, used = window_id, 0
        elif window_id < current and cost < 0:
            return used
        self.windows[i] = (current, used)
        if cost >= 0 and used + cost > min(limit, WINDOW_USED_MAX):
            return -1
        used = max(used + cost, 0)
        self.windows[i] = (current, used)
        return used
