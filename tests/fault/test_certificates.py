"""Certificates that are renewed while the real process serves with them."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.gateway import PATIENCE, Gateway, free_port, resources
from tests.support.mock import Mock
from tests.support.observe import chat_request, until
from tests.support.wire import Wire

CA = trustme.CA()


def issue(directory: Path, name: str) -> dict[str, str]:
    """A new pair for 127.0.0.1 and `name` in the files that the configuration names."""
    certificate = CA.issue_cert("127.0.0.1", name)
    files = {"cert_file": directory / "cert.pem", "key_file": directory / "key.pem"}
    files["cert_file"].write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    files["key_file"].write_bytes(certificate.private_key_pem.bytes())
    return {key: str(path) for key, path in files.items()}


@cache
def trusting() -> ssl.SSLContext:
    # Without the platform's roots, which take long to load.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    CA.configure_trust(context)
    return context


def shown(port: int) -> str:
    """The name in the certificate that a new connection is shown."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as bare:
        with trusting().wrap_socket(bare, server_hostname="127.0.0.1") as wrapped:
            found: Any = wrapped.getpeercert()
            return next(value for kind, value in found["subjectAltName"] if kind == "DNS")


def shown_often(port: int) -> set[str]:
    """The names that a few connections are shown, so that every worker is likely to be met."""
    return {shown(port) for _ in range(12)}


class TlsGateway(Gateway):
    """Its readiness is asked for where there is no TLS."""

    def get(self, path: str, *, port: int | None = None, headers: dict[str, str] | None = None) -> tuple[int, str]:
        return super().get("/status/ready" if port is None else path, port=port or self.metrics_port, headers=headers)


@contextmanager
def running(mock: Mock, directory: Path, workers: int = 2) -> Iterator[tuple[TlsGateway, int]]:
    """A gateway with TLS on both listeners, from the same files; and the port of the admin listener."""
    port = free_port()
    files = issue(directory, "one.test")
    config = {
        "proxy": {"tls": files, "workers": workers},
        "admin": {"enabled": True, "addr": f"127.0.0.1:{port}", "admin_keys": ["k"], "tls": files},
    }
    gw = TlsGateway(directory, resources(mock.url), config, {})
    try:
        gw.start()
        yield gw, port
    finally:
        gw.kill()


def test_renewed_files_are_used_by_every_worker(mock: Mock, tmp_path: Path) -> None:
    with running(mock, tmp_path) as (gw, admin_port), Wire(("127.0.0.1", gw.port), tls=trusting()) as old:
        assert shown_often(gw.port) | {shown(admin_port)} == {"one.test"}
        issue(tmp_path, "two.test")
        # Found by looking; no signal is needed.
        until(lambda: shown_often(gw.port), lambda names: names == {"two.test"})
        until(lambda: shown(admin_port), lambda name: name == "two.test")
        issue(tmp_path, "three.test")
        gw.reload()
        until(lambda: shown_often(gw.port), lambda names: names == {"three.test"})
        until(lambda: shown(admin_port), lambda name: name == "three.test")
        # A connection from before goes on with what it began with.
        old.send(chat_request("fast-chat"))
        assert old.answer().status == 200
        victim = gw.workers()[0]
        os.kill(victim, signal.SIGKILL)
        until(gw.workers, lambda pids: len(pids) == 2 and victim not in pids)
        assert shown_often(gw.port) == {"three.test"}


def test_a_pair_that_cannot_be_used_is_not(mock: Mock, tmp_path: Path) -> None:
    with running(mock, tmp_path, workers=1) as (gw, admin_port):
        (tmp_path / "key.pem").write_text("no key")
        gw.reload()
        gw.wait_log("certificate not renewed — keeping the previous one: admin.tls: cannot load")
        gw.wait_log("certificate not renewed — keeping the previous one: proxy.tls: cannot load")
        gw.wait_log("resources file reloaded")
        assert shown(gw.port) == shown(admin_port) == "one.test"
        # Also by a worker that starts only now.
        (victim,) = gw.workers()
        os.kill(victim, signal.SIGKILL)
        until(gw.workers, lambda pids: len(pids) == 1 and victim not in pids)
        assert shown(gw.port) == "one.test"
        issue(tmp_path, "two.test")
        until(lambda: shown(gw.port), lambda name: name == "two.test")
        assert "no key" not in gw.log
        assert gw.stop() == 0


def test_renewals_under_load(mock: Mock, tmp_path: Path) -> None:
    with running(mock, tmp_path) as (gw, _):
        failures: list[object] = []
        answered = 0
        over = threading.Event()

        def ask() -> None:
            nonlocal answered
            while not over.is_set():
                try:
                    with Wire(("127.0.0.1", gw.port), tls=trusting()) as wire:
                        wire.send(chat_request("fast-chat"))
                        answer = wire.answer()
                    if answer.status != 200:
                        failures.append(answer)
                    answered += 1
                except OSError as error:
                    failures.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for number in range(5):
                issue(tmp_path, f"n{number}.test")
                gw.reload()
                until(lambda: shown(gw.port), lambda name, n=number: name == f"n{n}.test")  # type: ignore[misc]
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert failures == []
        assert answered > 5


@pytest.mark.parametrize("idle", [0, 1])
def test_a_handshake_that_does_not_come(mock: Mock, tmp_path: Path, idle: int) -> None:
    """A connection without a word: closed after the idle time, or else after that for handshakes."""
    files = issue(tmp_path, "one.test")
    config = {"proxy": {"tls": files}, "downstream": {"idle_timeout_secs": idle}}
    gw = TlsGateway(tmp_path, resources(mock.url), config, {})
    try:
        gw.start()
        with Wire(("127.0.0.1", gw.port), timeout=PATIENCE if idle else 2) as silent:
            assert silent.closed() == ("eof" if idle else "timeout")
        assert shown(gw.port) == "one.test"
    finally:
        gw.kill()


def test_a_handshake_that_does_not_come_does_not_hold_up_the_end(mock: Mock, tmp_path: Path) -> None:
    with running(mock, tmp_path, workers=1) as (gw, admin_port):
        with Wire(("127.0.0.1", gw.port)), Wire(("127.0.0.1", admin_port)):
            # Both have been accepted once somebody who came later is served.
            assert shown(gw.port) == shown(admin_port) == "one.test"
            began = time.monotonic()
            assert gw.stop() == 0
            assert time.monotonic() - began < 5
