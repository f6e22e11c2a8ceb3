"""The mock upstream as the benchmark uses it: one process of `python -m fastgw.mock`, scripted by the model name."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from bench.macro.procs import Process, free_port, listening

# Model names with the mock's directives. A stream of n tokens has a few events more (role, finish, usage, [DONE]); the
# scenarios count what really arrives.
CHAT = "mock?answer_bytes=60"
SSE_100 = "mock?tokens=96"
SSE_PACED = "mock?tokens=196&cadence_ms=20"
# More than the kernel buffers for a sender (tcp_wmem, usually up to 4 MiB): back pressure reaches the mock itself.
SSE_LONG = "mock?tokens=1500&answer_bytes=6000000"
MODELS = (CHAT, SSE_100, SSE_PACED, SSE_LONG)

ROOT = Path(__file__).parents[2]


class Mock:
    def __init__(self, cpus: frozenset[int], *options: str) -> None:
        self.port = free_port()
        self._directory = Path(tempfile.mkdtemp(prefix="bench-mock-"))
        argv = [sys.executable, "-m", "fastgw.mock", "--port", str(self.port), *options]
        self._process = Process(argv, self._directory / "output.log", cpus, {"PYTHONPATH": str(ROOT)})
        self._process.wait_until(lambda: listening(self.port), f"listener on port {self.port}")

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        self._process.stop()
        shutil.rmtree(self._directory, ignore_errors=True)
