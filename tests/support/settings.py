"""What the environment says about a run of the tests, read once.

A gateway refuses FASTGW_* variables that are no configuration key, so a test process must not hand these on.
"""

import os

_NO_SKIP, _WORKERS = "FASTGW_NO_SKIP", "FASTGW_TEST_WORKERS"

NO_SKIP = os.environ.get(_NO_SKIP, "") not in ("", "0")
"""A skipped test counts as failed: CI must not turn green because a server or tool is missing."""

WORKERS = int(os.environ.get(_WORKERS, "1"))
"""Workers of a gateway whose test does not say."""


def withdraw() -> None:
    """Take the variables out of the environment."""
    for name in (_NO_SKIP, _WORKERS):
        os.environ.pop(name, None)
