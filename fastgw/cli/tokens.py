"""`fastgw tokens`: how many tokens a file has for a model."""

from typing import BinaryIO

from fastgw._speedups.tokens import Counter
from fastgw.core import tables
from fastgw.policy.estimate import encoding_for

SLICE = 65_536


def tokens(model: str, source: BinaryIO) -> int:
    """Count what is left in `source`, in constant memory. Raises OSError when it cannot be read."""
    counter = Counter(tables.load(encoding_for(model)))
    while data := source.read(SLICE):
        counter.feed(data)
        while counter.step():
            pass
    counter.end()
    while counter.step():
        pass
    return counter.count
