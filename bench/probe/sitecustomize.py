"""Loaded by every Python process that has this directory on its path: how long the turns of its event loop are.

With `BENCH_TURNS` naming a directory, a process of the gateway writes there, for each stretch between two ticks of a
1 ms timer in which it used more than a millisecond of CPU: `<time.monotonic()> <CPU ms>`. CPU time and not the clock,
so that it is what the loop does that is measured and not what else the machine has to do.
"""

import os
import sys

DIRECTORY = os.environ.get("BENCH_TURNS")
ROLES = {"fastgw.runtime.worker": "worker", "fastgw": "supervisor"}


def watch(directory: str, role: str) -> None:
    import asyncio
    import time
    from typing import Any

    out = open(f"{directory}/{role}-{os.getpid()}", "a", buffering=1)  # noqa: SIM115 - until the process ends
    run = asyncio.Runner.run

    def watched(runner: Any, coroutine: Any, **more: Any) -> Any:
        loop, used = runner.get_loop(), time.thread_time()

        def tick() -> None:
            nonlocal used
            now = time.thread_time()
            if now - used > 0.001:
                out.write(f"{time.monotonic()} {1000 * (now - used):.2f}\n")
            used = now
            loop.call_later(0.001, tick)

        loop.call_soon(tick)
        return run(runner, coroutine, **more)

    asyncio.Runner.run = watched  # type: ignore[method-assign]


if DIRECTORY is not None and "-m" in sys.orig_argv:
    module = sys.orig_argv[sys.orig_argv.index("-m") + 1]
    if module in ROLES and "mock-upstream" not in sys.orig_argv:
        watch(DIRECTORY, ROLES[module])
