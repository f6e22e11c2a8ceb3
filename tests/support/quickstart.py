"""A running `fastgw quickstart` on free ports."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.gateway import free_port

LAST_LINE = "Ctrl-C stops it."


class Quickstart:
    def __init__(self, process: subprocess.Popen[str], port: int, mock_port: int, guide: str) -> None:
        self.process = process
        self.port = port
        self.mock_port = mock_port
        self.guide = guide
        """Everything it printed until it was ready."""


@contextmanager
def quickstart(log: Path, **environment: str) -> Iterator[Quickstart]:
    """Start it, wait for its guide, stop it; standard error goes to `log`. Raises AssertionError when it ends early.

    Without OPENAI_API_KEY among `environment`, whatever the person who runs the tests has set.
    """
    port, mock_port = free_port(), free_port()
    command = [sys.executable, "-m", "fastgw", "quickstart", "--port", str(port), "--mock-port", str(mock_port)]
    inherited = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env=inherited | environment, text=True
        )
    assert process.stdout is not None
    with process:
        try:
            lines = []
            for line in process.stdout:
                lines.append(line)
                if line.strip() == LAST_LINE:
                    break
            else:
                raise AssertionError(f"quickstart ended with {process.wait()}: {log.read_text()}")
            yield Quickstart(process, port, mock_port, "".join(lines))
        finally:
            process.terminate()
            process.wait(timeout=15)
