"""Any bytes are a program of cell operations; the compiled cells and the model must agree on every result.

`python tests/fuzz/fuzz_cells.py` runs it under atheris where that is installed; pytest runs it on generated inputs.
"""

import struct
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw._speedups.cells import Cells
from tests.support.cells_model import CellsModel

PLAIN = 6
OPERATIONS = ("set", "add", "swap", "bump", "raise_to", "take_slot", "get", "free_slot", "cas", "take_window")
STEP = struct.Struct("<Bbqqq")


def outcome(cells: object, name: str, arguments: tuple[int, ...]) -> object:
    try:
        return getattr(cells, name)(*arguments)
    except (IndexError, ValueError) as refused:
        return type(refused)


def run(data: bytes) -> None:
    real, model = Cells(-1, PLAIN + 2), CellsModel(PLAIN + 2)
    for code, index, a, b, c in STEP.iter_unpack(data[: len(data) // STEP.size * STEP.size]):
        name = OPERATIONS[code % len(OPERATIONS)]
        # Cells 6 and 7 are the window: other operations would see its private contents.
        if name == "take_window":
            arguments: tuple[int, ...] = (index if not 0 <= index <= PLAIN else PLAIN, a, b, c)
        else:
            i = index % PLAIN if 0 <= index < PLAIN + 2 else index
            arguments = (i, a, b)[: {"get": 1, "free_slot": 1, "cas": 3}.get(name, 2)]
        assert outcome(real, name, arguments) == outcome(model, name, arguments), (name, arguments)
    assert [real.get(i) for i in range(PLAIN)] == model.values[:PLAIN]


small = st.integers(-3, 9)
word = st.one_of(small, small, st.integers(-(2**63), 2**63 - 1), st.integers(2**47 - 2, 2**48))
step = st.builds(STEP.pack, st.integers(0, 255), st.integers(-2, PLAIN + 3), word, word, word)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.lists(step, max_size=60).map(b"".join), st.binary(max_size=400)))
def test_fuzz_cells(data: bytes) -> None:
    run(data)


if __name__ == "__main__":
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

    atheris.Setup(sys.argv, run)
    atheris.Fuzz()
