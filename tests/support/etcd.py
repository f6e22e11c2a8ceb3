"""A real etcd for tests: `with etcd() as store: ...`. Tests that need one are marked with `needs_etcd`."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.gateway import KEY_HASH, free_port

PROGRAM = shutil.which("etcd")
needs_etcd = pytest.mark.skipif(PROGRAM is None, reason="etcd is not installed (Debian: etcd-server)")
START_SECONDS = 30.0
ROOT_PASSWORD = "correct horse"


class Etcd:
    """One member on ports of its own. `url` is the client address."""

    def __init__(self, directory: Path, tls: Tls | None = None) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._peer = f"http://127.0.0.1:{free_port()}"
        self.tls = tls
        self._token: str | None = None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return "127.0.0.1", self.port

    def start(self) -> None:
        """Start the member on its data and wait until it answers."""
        assert PROGRAM is not None
        secure = self.tls.server_arguments() if self.tls else []
        with (self.directory / "etcd.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    PROGRAM,
                    *("--name", "default", "--data-dir", str(self.directory / "data")),
                    *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
                    *("--listen-peer-urls", self._peer, "--initial-advertise-peer-urls", self._peer),
                    *("--initial-cluster", f"default={self._peer}", "--unsafe-no-fsync"),
                    *secure,
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                self.call("/v3/maintenance/status", {})
                return
            except OSError as error:
                if isinstance(error, urllib.error.HTTPError):
                    with error:
                        return
                assert self.process.poll() is None and time.monotonic() < end, self.log
            time.sleep(0.02)

    @property
    def log(self) -> str:
        """What it has written."""
        return (self.directory / "etcd.log").read_text(errors="replace")

    def call(self, path: str, question: Mapping[str, Any]) -> dict[str, Any]:
        """A unary call of the JSON gateway. Raises OSError (HTTPError for a refusal)."""
        headers = {"content-type": "application/json"}
        if self._token is not None:
            headers["authorization"] = self._token
        request = urllib.request.Request(self.url + path, json.dumps(question).encode(), headers)
        context = self.tls.client_context() if self.tls else None
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            document: dict[str, Any] = json.loads(answer.read())
            return document

    def put(self, key: str | bytes, value: object) -> int:
        """Store a document (bytes as they are, anything else as JSON); the revision."""
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self._revision(self.call("/v3/kv/put", {"key": _text(key), "value": _text(data)}))

    def delete(self, key: str | bytes) -> int:
        """Remove a key; the revision."""
        return self._revision(self.call("/v3/kv/deleterange", {"key": _text(key)}))

    def write(self, puts: Mapping[str, object]) -> int:
        """Store many documents, 100 per transaction; the last revision."""
        revision = 0
        rows = [{"request_put": {"key": _text(key), "value": _text(json.dumps(value))}} for key, value in puts.items()]
        for start in range(0, len(rows), 100):
            revision = self._revision(self.call("/v3/kv/txn", {"success": rows[start : start + 100]}))
        return revision

    def compact(self, revision: int) -> None:
        """Forget everything before a revision."""
        self.call("/v3/kv/compaction", {"revision": revision, "physical": True})

    def enable_auth(self, user: str, password: str, prefix: str) -> None:
        """Ask for credentials from now on; `user` may read everything that begins with `prefix`."""
        self.call("/v3/auth/user/add", {"name": "root", "password": ROOT_PASSWORD})
        self.call("/v3/auth/user/grant", {"user": "root", "role": "root"})
        self.call("/v3/auth/user/add", {"name": user, "password": password})
        self.call("/v3/auth/role/add", {"name": "reader"})
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        permission = {"permType": "READ", "key": _text(prefix), "range_end": _text(end)}
        self.call("/v3/auth/role/grant", {"name": "reader", "perm": permission})
        self.call("/v3/auth/user/grant", {"user": user, "role": "reader"})
        self.call("/v3/auth/enable", {})
        self.authenticate()

    def authenticate(self) -> None:
        """Get a token for the calls of this object (it does not survive a restart of the member)."""
        self._token = None
        self._token = self.call("/v3/auth/authenticate", {"name": "root", "password": ROOT_PASSWORD})["token"]

    def freeze(self) -> None:
        """SIGSTOP."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM, as a planned stop."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(20)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def back_up(self) -> None:
        """Keep a copy of the data (the member must not run)."""
        shutil.copytree(self.directory / "data", self.directory / "backup", dirs_exist_ok=True)

    def restore(self) -> None:
        """Go back to the copy (the member must not run): its revisions are lower than those written since."""
        shutil.rmtree(self.directory / "data")
        shutil.copytree(self.directory / "backup", self.directory / "data")

    @staticmethod
    def _revision(answer: dict[str, Any]) -> int:
        return int(answer["header"]["revision"])


class Tls:
    """Certificates of an authority of its own: the server's is for `name`, clients must show one, too."""

    def __init__(self, directory: Path, name: str = "etcd.internal") -> None:
        authority = trustme.CA()
        server, client = authority.issue_cert(name), authority.issue_cert("gateway.internal")
        self.ca = str(directory / "ca.pem")
        self.server_cert, self.server_key = str(directory / "server.pem"), str(directory / "server.key")
        self.client_cert, self.client_key = str(directory / "client.pem"), str(directory / "client.key")
        authority.cert_pem.write_to_path(self.ca)
        server.cert_chain_pems[0].write_to_path(self.server_cert)
        server.private_key_pem.write_to_path(self.server_key)
        client.cert_chain_pems[0].write_to_path(self.client_cert)
        client.private_key_pem.write_to_path(self.client_key)

    def section(self, **more: str) -> dict[str, str]:
        """`etcd.tls` of a gateway."""
        files = {"ca_cert_file": self.ca, "client_cert_file": self.client_cert, "client_key_file": self.client_key}
        return {**files, **more}

    def server_arguments(self) -> list[str]:
        """For the etcd program."""
        files = ["--cert-file", self.server_cert, "--key-file", self.server_key, "--trusted-ca-file", self.ca]
        return [*files, "--client-cert-auth"]

    def client_context(self) -> ssl.SSLContext:
        """For calls of the test itself."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.ca)
        context.load_cert_chain(self.client_cert, self.client_key)
        return context


@contextlib.contextmanager
def etcd(*, tls: bool = False) -> Iterator[Etcd]:
    """A member that answers; killed at the end."""
    with tempfile.TemporaryDirectory(prefix="fastgw-etcd-") as name:
        directory = Path(name)
        store = Etcd(directory, Tls(directory) if tls else None)
        try:
            store.start()
            yield store
        finally:
            store.kill()


def documents(upstream: str, prefix: str = "/fastgw") -> dict[str, Any]:
    """By key: a provider key, the alias `fast-chat` on `upstream`, one caller for everything."""
    key = {"display_name": "up", "provider": "mock", "adapter": "openai", "api_key": "up-key", "api_base": upstream}
    return {
        f"{prefix}/provider_keys/up": key,
        f"{prefix}/models/chat": model_document("fast-chat"),
        f"{prefix}/api_keys/caller": {"key_hash": KEY_HASH, "allowed_models": ["*"], "display_name": "caller"},
    }


def model_document(name: str, content: str = "hello") -> dict[str, Any]:
    """A model that answers with `content`."""
    upstream = f"mock-gpt?content={content}"
    return {"display_name": name, "provider": "mock", "model_name": upstream, "provider_key_id": "up"}


def source(url: str, **more: Any) -> dict[str, Any]:
    """The part of a gateway's configuration that makes it follow this etcd."""
    return {"resources_file": None, "etcd": {"endpoints": [url], **more}}


def _text(data: str | bytes) -> str:
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()
