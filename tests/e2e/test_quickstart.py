"""`fastgw quickstart` as a process: refuses, reports, and leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.gateway import free_port
from tests.support.quickstart import quickstart


def refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with quickstart(log) as running:
        running.process.send_signal(number)
        assert running.process.wait(timeout=10) == 0
        assert refuses(running.port)
        assert refuses(running.mock_port)
        assert "Traceback" not in log.read_text()


def test_a_dead_mock_is_reported(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with quickstart(log) as running:
        (mock,) = children(running.process.pid, "mock-upstream")
        os.kill(mock, signal.SIGKILL)
        assert running.process.wait(timeout=15) == 1
        assert refuses(running.port)
    assert "the mock provider ended unexpectedly (SIGKILL)" in log.read_text()


def test_a_dead_gateway_is_reported(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with quickstart(log) as running:
        (gateway,) = children(running.process.pid, "--config")
        os.kill(gateway, signal.SIGKILL)
        assert running.process.wait(timeout=15) == 128 + signal.SIGKILL
        assert refuses(running.mock_port)
    assert "the gateway ended unexpectedly (SIGKILL)" in log.read_text()


def test_a_taken_port_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "fastgw", "quickstart", "--port", str(port), "--mock-port", str(free_port())]
        finished = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert finished.returncode == 1
    assert finished.stderr.startswith(f"Error: the gateway cannot listen on 127.0.0.1:{port}")
    assert finished.stdout == ""


def test_openai_key_adds_aliases_and_stays_secret(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with quickstart(log, OPENAI_API_KEY="sk-very-private-key") as running:
        models = next(line for line in running.guide.splitlines() if line.strip().startswith("models"))
        assert "mock-gpt, " in models
    assert "sk-very-private-key" not in running.guide + log.read_text()


def children(parent: int, argument: str) -> list[int]:
    """Direct children of `parent` that were started with `argument`."""
    pids = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in pids if argument in Path(f"/proc/{pid}/cmdline").read_text().split("\0")]
