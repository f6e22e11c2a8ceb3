"""The adapter interface: where a server is found, how it is started in front of the mock upstream, what to ask it."""

from __future__ import annotations

import abc
import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

from bench.macro.procs import Process, free_port, listening

CALLER_KEY = "sk-bench-caller-0123456789abcdef0123456789abcdef"
UPSTREAM_KEY = "sk-bench-upstream-0123456789abcdef"


class Peer(abc.ABC):
    """One server under test. `start` may be called again after `stop`.

    Each instance has a temporary directory for its configuration and its log, removed by `stop`.
    """

    name: ClassVar[str]
    path = "/v1/chat/completions"

    def __init__(self) -> None:
        self.port = 0
        self._process: Process | None = None
        self._directory: Path | None = None

    @classmethod
    @abc.abstractmethod
    def available(cls) -> str:
        """Empty when the server can be started here, else why not."""

    @abc.abstractmethod
    def version(self) -> str: ...

    @abc.abstractmethod
    def command(self, directory: Path, upstream: int, workers: int) -> list[str]:
        """Writes configuration into `directory` and returns the command line that serves on `self.port`."""

    def environment(self) -> dict[str, str]:
        return {}

    def headers(self) -> dict[str, str]:
        """Request headers besides Content-Type and Content-Length."""
        return {"Authorization": f"Bearer {CALLER_KEY}"}

    def model(self, name: str) -> str:
        """What a caller has to name to reach the upstream model `name`."""
        return name

    def start(
        self, upstream: int, workers: int = 1, cpus: frozenset[int] | None = None, seconds: float = 60.0
    ) -> float:
        """Starts the server in front of 127.0.0.1:`upstream`. Returns the seconds until it accepted a connection.

        Raises procs.Failed when it does not come up within `seconds`.
        """
        assert self._process is None
        self._directory = Path(tempfile.mkdtemp(prefix=f"bench-{self.name}-"))
        self.port = free_port()
        argv = self.command(self._directory, upstream, workers)
        log = self._directory / "output.log"
        self._process = Process(argv, log, cpus, {**self.environment()}, self._directory)
        return self._process.wait_until(lambda: listening(self.port), f"listener on port {self.port}", seconds)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log_tail(self) -> str:
        return self._process.tail() if self._process else ""

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None
