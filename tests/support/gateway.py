"""The real gateway process for tests: `with gateway(resources) as gw: ...`."""

import contextlib
import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support.settings import WORKERS

API_KEY = "sk-test-caller"
KEY_HASH = hashlib.sha256(API_KEY.encode()).hexdigest()
START_SECONDS = 60.0
PATIENCE = 20.0
"""Seconds that a wait for a condition may take: for a machine that is busy or stands still for a moment, not for what
is waited for."""

# Held until the process ends.
_claims: list[socket.socket] = []
_BLOCK = 100


def _ports() -> Iterator[int]:
    """Ports that the kernel gives to nobody by itself, in blocks that no other process of tests on this machine uses.

    An abstract Unix socket of the block's name is the claim: one process has it, and it goes with the process.
    """
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    low, high = (10_000, first) if first > 12_000 else (first, 60_000)
    blocks = range(low, high - _BLOCK, _BLOCK)
    for block in random.sample(blocks, len(blocks)):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0fastgw-test-ports-{block}")
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        yield from range(block, block + _BLOCK)


_PORTS = _ports()


def free_port() -> int:
    """A TCP port on which nobody listens, that is given only once, and which no outgoing connection and no listener on
    port 0 takes before the test does, also between a stop and a start of a server."""
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("every port for tests is in use")


def resources(upstream: str, **model: Any) -> dict[str, Any]:
    """One provider key, the alias `fast-chat` on `upstream` (a base URL ending in /v1), one caller for everything."""
    return {
        "_format_version": "1",
        "provider_keys": [
            {"display_name": "up", "provider": "mock", "adapter": "openai", "api_key": "up-key", "api_base": upstream}
        ],
        "models": [
            {"display_name": "fast-chat", "provider": "mock", "model_name": "mock-gpt", "provider_key": "up", **model}
        ],
        "api_keys": [{"display_name": "caller", "key_hash": KEY_HASH, "allowed_models": ["*"]}],
    }


class Gateway:
    """A running gateway. `base` is the root URL, `url` the base URL for SDKs, `log` the text of stderr so far.
    `program` is what the interpreter is told to run."""

    def __init__(
        self, directory: Path, document: dict[str, Any] | str, config: dict[str, Any], environ: dict[str, str]
    ) -> None:
        self.directory = directory
        self.port = free_port()
        self.metrics_port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.base}/v1"
        self.api_key = API_KEY
        self.program = ["-m", "fastgw"]
        self._environ = {**os.environ, **environ}
        self._log = directory / "stderr.log"
        self.write_resources(document)
        merged: dict[str, Any] = {
            "resources_file": str(directory / "resources.yaml"),
            "proxy": {"addr": f"127.0.0.1:{self.port}", "workers": WORKERS},
            "admin": {"enabled": False},
            "observability": {"metrics": {"prometheus": {"addr": f"127.0.0.1:{self.metrics_port}"}}},
            "shutdown": {"min_drain_secs": 0},
        }
        merge(merged, config)
        (directory / "config.yaml").write_text(yaml.safe_dump(merged))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """Everything that the gateway has written to stderr, but for a line that is still being written."""
        lines, end, _ = self._log.read_bytes().rpartition(b"\n")
        return (lines + end).decode()

    def wait_log(self, text: str, seconds: float = PATIENCE) -> str:
        """The log, once it contains `text`. Raises AssertionError when it does not in time."""
        end = time.monotonic() + seconds
        while text not in (log := self.log):
            assert time.monotonic() < end, log
            time.sleep(0.01)
        return log

    def write_resources(self, document: dict[str, Any] | str) -> None:
        """Replace the resources file (it is read at boot and on reload)."""
        text = document if isinstance(document, str) else json.dumps(document)
        (self.directory / "resources.yaml").write_text(text)

    def start(self, probe: str = "/readyz") -> None:
        """Start the process and wait until `probe` answers 200. Raises AssertionError with its log when it does not."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.program, "--config", str(self.directory / "config.yaml")],
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=self._environ,
            )
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                if self.get(probe)[0] == 200:
                    return
            time.sleep(0.02)
        raise AssertionError(f"gateway did not become ready:\n{self.log}")

    def get(self, path: str, *, port: int | None = None, headers: dict[str, str] | None = None) -> tuple[int, str]:
        """(status, body) of a GET."""
        request = urllib.request.Request(f"http://127.0.0.1:{port or self.port}{path}", headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metrics(self) -> str:
        """The Prometheus text."""
        return self.get("/metrics", port=self.metrics_port)[1]

    def status(self) -> dict[str, Any]:
        """`/status/config`."""
        document: dict[str, Any] = json.loads(self.get("/status/config", port=self.metrics_port)[1])
        return document

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        assert self.process is not None
        task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in task.read_text().split()]

    def reload(self) -> None:
        """SIGHUP."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def stop(self, seconds: float = PATIENCE) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(seconds)

    def kill(self) -> None:
        """SIGKILL, for cleaning up."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    """Deep-merge `more` into `into`."""
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


@contextlib.contextmanager
def gateway(
    document: dict[str, Any] | str,
    config: dict[str, Any] | None = None,
    environ: dict[str, str] | None = None,
    probe: str = "/readyz",
) -> Iterator[Gateway]:
    """A gateway that answers `probe`; killed at the end."""
    with tempfile.TemporaryDirectory(prefix="fastgw-test-") as directory:
        running = Gateway(Path(directory), document, config or {}, environ or {})
        try:
            running.start(probe)
            yield running
        finally:
            running.kill()


def boot_config(directory: Path, **proxy: Any) -> dict[str, Any]:
    """A configuration for a process that a test starts by itself: one worker, no admin listener."""
    return {
        "resources_file": str(directory / "resources.yaml"),
        "proxy": {"addr": f"127.0.0.1:{free_port()}", "workers": 1, **proxy},
        "admin": {"enabled": False},
        "observability": {"metrics": {"prometheus": {"addr": f"127.0.0.1:{free_port()}"}}},
    }
