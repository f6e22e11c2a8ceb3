"""An authority that grants access tokens, for tests."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs


class Authority(http.server.ThreadingHTTPServer):
    """Grants tokens `granted-1`, `granted-2`, ... and keeps the forms and who sent them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Grant)
        self.forms: list[tuple[str, dict[str, list[str]]]] = []
        self.agents: set[str | None] = set()
        self.status = 200


class _Grant(http.server.BaseHTTPRequestHandler):
    server: Authority

    def do_POST(self) -> None:
        form = self.rfile.read(int(self.headers["content-length"])).decode()
        self.server.agents.add(self.headers["user-agent"])
        self.server.forms.append((self.path, parse_qs(form)))
        document = {"access_token": f"granted-{len(self.server.forms)}", "expires_in": 3600}
        body = json.dumps(document if self.server.status == 200 else {"error": "invalid_client"}).encode()
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextmanager
def authority() -> Iterator[Authority]:
    with Authority() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)
