"""Edits while requests are under way: none fails, each is answered by one revision, and late workers catch up."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.etcd import etcd, needs_etcd, source
from tests.support.gateway import KEY_HASH, Gateway, gateway, resources
from tests.support.load import Reply, load
from tests.support.observe import ask, chat_request, until
from tests.support.wire import Wire


class Echo(asyncio.Protocol):
    """An upstream that answers with what it was sent: credential, path and model."""

    def __init__(self, opened: set[asyncio.Transport]) -> None:
        self._opened = opened
        self._data = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._opened.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._opened.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if not found or length is None or len(body) < int(length[1]):
            return
        self._data = body[int(length[1]) :]
        (path,) = re.findall(rb"POST /(\w+)/v1/", head)
        (secret,) = re.findall(rb"(?i)authorization: Bearer (\S+)", head)
        model = json.loads(body[: int(length[1])])["model"]
        content = f"{path.decode()} {secret.decode()} {model}"
        message = {"role": "assistant", "content": content}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        document = {"id": "x", "object": "chat.completion", "created": 1, "model": model, "choices": [choice]}
        answer = json.dumps(document | {"usage": usage}).encode()
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
        self._transport.write(b"content-length: %d\r\n\r\n%b" % (len(answer), answer))


@contextmanager
def echo() -> Iterator[str]:
    """The base URL of an upstream."""
    started = threading.Event()
    ports: list[int] = []
    stop: list[Callable[[], object]] = []
    opened: set[asyncio.Transport] = set()

    async def serve() -> None:
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        server = await loop.create_server(lambda: Echo(opened), "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        stop.append(lambda: loop.call_soon_threadsafe(stopping.set))
        started.set()
        await stopping.wait()
        server.close()
        for transport in list(opened):
            transport.abort()
        await asyncio.sleep(0)

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(10)
    yield f"http://127.0.0.1:{ports[0]}"
    stop[0]()
    thread.join(10)
    assert not thread.is_alive()


def content(body: bytes) -> str:
    text: str = json.loads(body)["choices"][0]["message"]["content"]
    return text


def one_revision(reply: Reply) -> str | None:
    """Base and credential of a provider key are from one version of it."""
    if reply.status != 200:
        return f"{reply.status}: {reply.body[:200]!r}"
    base, secret, _ = content(reply.body).split(" ")
    return None if base.removeprefix("base") == secret.removeprefix("secret") else content(reply.body)


def provider_key(upstream: str, number: int) -> dict[str, Any]:
    address = f"{upstream}/base{number}/v1"
    return {"display_name": "up", "adapter": "openai", "api_key": f"secret{number}", "api_base": address}


@needs_etcd
def test_two_hundred_rotations_per_second() -> None:
    """Credential and address of a provider key change together, 200 times a second, with other edits between."""
    with echo() as upstream, etcd() as store:
        model = {"display_name": "fast-chat", "provider": "p", "model_name": "m", "provider_key_id": "up"}
        store.put("/fastgw/provider_keys/up", provider_key(upstream, 0))
        store.put("/fastgw/models/chat", model)
        store.put("/fastgw/api_keys/caller", {"key_hash": KEY_HASH, "allowed_models": ["*"]})
        with gateway({}, {"proxy": {"workers": 2}, **source(store.url)}) as gw:
            until(lambda: told(gw), bool)
            with load(gw.port, 4, lambda: chat_request("fast-chat"), one_revision) as running:
                began = time.monotonic()
                for number in range(1, 601):
                    store.put("/fastgw/provider_keys/up", provider_key(upstream, number))
                    if number % 50 == 0:
                        store.put("/fastgw/models/chat", model | {"model_name": f"m{number}"})
                        store.put(
                            f"/fastgw/api_keys/other{number}", {"key_hash": f"{number:064}", "allowed_models": []}
                        )
                    time.sleep(max(0.0, began + number / 200 - time.monotonic()))
                until(lambda: told(gw), lambda found: found == "base600 secret600 m600")
                # Whichever worker takes a connection, all of them serve it from that moment on.
                assert {told(gw) for _ in range(12)} == {"base600 secret600 m600"}
            assert running.failures == []
            assert running.answered > 100
            assert gw.status()["state"] == "synced"
            assert gw.stop() == 0


def applied(gw: Gateway, number: int) -> None:
    """Wait until so many different files have been applied."""
    until(lambda: gw.status()["applied"]["apply_seq"], lambda found: found == number, 40)


def told(gw: Gateway) -> str:
    with Wire(("127.0.0.1", gw.port)) as wire:
        wire.send(chat_request("fast-chat"))
        answer = wire.answer()
    return content(answer.body) if answer.status == 200 else ""


def numbered(upstream: str, number: int) -> dict[str, Any]:
    """Two rows of a file that belong together: the provider key and the model have the same number."""
    document = resources("")
    document["provider_keys"] = [provider_key(upstream, number)]
    document["models"][0]["model_name"] = f"m{number}"
    return document


def test_rows_that_are_edited_together_are_never_seen_apart() -> None:
    def check(reply: Reply) -> str | None:
        if reply.status != 200:
            return f"{reply.status}: {reply.body[:200]!r}"
        numbers = set(re.findall(r"\d+", content(reply.body)))
        return None if len(numbers) == 1 else content(reply.body)

    with echo() as upstream, gateway(numbered(upstream, 0), {"proxy": {"workers": 2}}) as gw:
        with load(gw.port, 4, lambda: chat_request("fast-chat"), check) as running:
            for number in range(1, 31):
                gw.write_resources(numbered(upstream, number))
                gw.reload()
                applied(gw, number + 1)
                assert told(gw) == f"base{number} secret{number} m{number}"
        assert running.failures == []


def test_a_request_is_served_by_the_revision_that_it_began_with() -> None:
    """The body arrives after the configuration has changed."""
    with echo() as upstream, gateway(numbered(upstream, 1), {"proxy": {"workers": 1}}) as gw:
        with Wire(("127.0.0.1", gw.port)) as early, Wire(("127.0.0.1", gw.port)) as late:
            head, _, body = chat_request("fast-chat").partition(b"\r\n\r\n")
            early.send(head + b"\r\n\r\n" + body[:5])
            # Answered after the bytes above were read, which were sent first.
            assert ask(gw, "fast-chat").status == 200
            gw.write_resources(numbered(upstream, 2))
            gw.reload()
            applied(gw, 2)
            late.send(chat_request("fast-chat"))
            assert content(late.answer().body) == "base2 secret2 m2"
            early.send(body[5:])
            assert content(early.answer().body) == "base1 secret1 m1"


def test_a_worker_that_hangs_holds_a_change_up_for_a_bounded_time() -> None:
    """It is replaced, and its successor has the change before it serves."""
    with echo() as upstream, gateway(numbered(upstream, 1), {"proxy": {"workers": 2}}) as gw:
        hanging = gw.workers()[0]
        os.kill(hanging, signal.SIGSTOP)
        gw.write_resources(numbered(upstream, 2))
        gw.reload()
        applied(gw, 2)
        until(gw.workers, lambda pids: len(pids) == 2 and hanging not in pids, 20)
        assert {told(gw) for _ in range(12)} == {"base2 secret2 m2"}
        gw.wait_log("worker ended unexpectedly")


def test_a_worker_that_comes_back_while_edits_go_on_has_them() -> None:
    with echo() as upstream, gateway(numbered(upstream, 0), {"proxy": {"workers": 2}}) as gw:
        for number in range(1, 16):
            if number % 5 == 0:
                os.kill(until(gw.workers, bool)[-1], signal.SIGKILL)
            gw.write_resources(numbered(upstream, number))
            gw.reload()
            applied(gw, number + 1)
        until(gw.workers, lambda pids: len(pids) == 2, 20)
        assert {told(gw) for _ in range(12)} == {"base15 secret15 m15"}
