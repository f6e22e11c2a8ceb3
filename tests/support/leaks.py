"""Loops in a process of their own, whose memory must not grow."""

import os
import subprocess
import sys

_MEASURE = """
import gc
import os
def resident():
    gc.collect()
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024
work(5_000)
before = resident()
work(20_000)
print(resident() - before)
"""


def growth(work: str) -> int:
    """KiB that 20,000 rounds of the function `work(rounds)`, which the text defines, leave behind. 512 are 26 bytes per
    round."""
    # AddressSanitizer's quarantine would count as growth.
    options = f"{os.environ.get('ASAN_OPTIONS', '')}:quarantine_size_mb=1:thread_local_quarantine_size_kb=64"
    done = subprocess.run(
        [sys.executable, "-c", work + _MEASURE],
        env={**os.environ, "ASAN_OPTIONS": options},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=100,
    )
    return int(done.stdout)
