"""The garbage collector and large loads."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """A large load makes millions of objects, none of them garbage in a cycle: looking for that is a quarter of the
    time. What is there at the end is left alone for good, because the first look at it would stop the process for
    100 ms; it is freed as ever when nobody refers to it. For the whole process."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
