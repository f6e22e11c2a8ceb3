"""A mock upstream in a process of its own, for tests.

    with mock_upstream(cadence_ms=20, record=10) as mock:
        client = OpenAI(base_url=mock.url, api_key="any")

Flags are those of ``fastgw mock-upstream`` with underscores; True gives a bare switch, lists and objects become JSON.
"""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_ROOT = Path(__file__).parents[2]
_FIRST_LINE = "mock upstream listening on "


class Mock:
    """A running mock upstream."""

    def __init__(self, origin: str, process: subprocess.Popen[str]) -> None:
        self.origin = origin
        """``http://127.0.0.1:PORT``"""
        self.url = origin + "/v1"
        """Base URL for an OpenAI client."""
        parts = urlsplit(origin)
        assert parts.hostname is not None
        assert parts.port is not None
        self.tls = parts.scheme == "https"
        self.address = (parts.hostname, parts.port)
        self.process = process

    def control(self, method: str, name: str) -> Any:
        """Call the introspection endpoint ``/__mock/{name}`` and return its JSON."""
        host, port = self.address
        connection: http.client.HTTPConnection
        if self.tls:
            # The certificate of a test is nobody's business here.
            context = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection(host, port, timeout=20, context=context)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=20)
        try:
            connection.request(method, f"/__mock/{name}", headers={"connection": "close"})
            response = connection.getresponse()
            assert response.status == 200, response.read()
            return json.loads(response.read())
        finally:
            connection.close()

    def stats(self) -> dict[str, Any]:
        """Counters: requests, connections, streams started, finished, aborted (by the caller), faulted, open."""
        stats: dict[str, Any] = self.control("GET", "stats")
        return stats

    def requests(self) -> list[dict[str, Any]]:
        """The recorded requests, oldest first: connection, method, path, headers ([name, value] in order), body."""
        requests: list[dict[str, Any]] = self.control("GET", "requests")
        return requests

    def reset(self) -> None:
        """Forget recorded requests and scripted failures, zero the counters."""
        self.control("DELETE", "requests")
        self.control("DELETE", "stats")

    def wait(self, condition: Callable[[dict[str, Any]], bool], timeout: float = 20) -> dict[str, Any]:
        """The first statistics for which `condition` holds. Raises AssertionError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not condition(stats := self.stats()):
            assert time.monotonic() < deadline, stats
            time.sleep(0.005)
        return stats


def _arguments(flags: dict[str, Any]) -> list[str]:
    arguments = []
    for name, value in flags.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            arguments.append(flag)
        else:
            arguments += [flag, value if isinstance(value, str) else json.dumps(value)]
    return arguments


@contextmanager
def mock_upstream(**flags: Any) -> Iterator[Mock]:
    """Start a mock upstream on a free port; it is killed on exit."""
    flags.setdefault("port", 0)
    command = [sys.executable, "-m", "fastgw.mock", *_arguments(flags)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith(_FIRST_LINE), f"the mock upstream did not start: {line!r}"
        yield Mock(line.removeprefix(_FIRST_LINE).strip(), process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
