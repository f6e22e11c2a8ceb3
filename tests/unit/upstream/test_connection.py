"""One upstream connection against peers that do not keep to the rules."""

from typing import Any

import pytest

from fastgw.core.errors import UpstreamFailure
from fastgw.upstream import connection as module
from fastgw.upstream.connection import MAX_HEAD, UpstreamConnection

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Transport:
    """Takes what is written; knows whether it was aborted and whether reading is paused."""

    def __init__(self) -> None:
        self.written = b""
        self.aborted = self.paused = False

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return 0


class Peer:
    """Pool, lease, owner and sink of a connection in one, noting what it is told."""

    def __init__(self) -> None:
        self.transport = Transport()
        self.released = self.resumed = self.closed = 0
        self.failure: UpstreamFailure | None = None
        self.body = b""
        self.complete = False
        made: Any = self
        self.connection = UpstreamConnection(made, made.transport, made)

    def asked(self, *, streaming: bool = False) -> "Peer":
        owner: Any = self
        self.connection.send(owner, b"request", streaming=streaming)
        return self

    def says(self, data: bytes, piece: int = 1 << 20) -> "Peer":
        for start in range(0, len(data), piece):
            self.connection.data_received(data[start : start + piece])
        return self

    # pool and lease
    def release(self, connection: UpstreamConnection) -> None:
        self.released += 1

    def forget(self, connection: UpstreamConnection) -> None:
        pass

    def linger(self, connection: UpstreamConnection) -> None:
        pass

    def close(self) -> None:
        self.closed += 1

    # owner
    def resume(self) -> None:
        self.resumed += 1

    def throw(self, failure: UpstreamFailure) -> None:
        self.failure = failure

    # sink
    def feed(self, data: bytes) -> None:
        self.body += data

    def ended(self) -> None:
        self.complete = True

    def broke(self, failure: UpstreamFailure) -> None:
        self.failure = failure


def refused(peer: Peer, words: str) -> None:
    assert peer.failure is not None
    assert (peer.failure.status, peer.failure.type) == (502, "transport_error")
    assert words in peer.failure.message
    assert peer.transport.aborted
    assert peer.released == 0


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_an_answer_in_any_pieces_frees_the_connection(piece: int) -> None:
    peer = Peer().asked().says(ANSWER, piece)
    assert peer.resumed == 1
    assert peer.connection.answer.take() == b"ok"
    peer.connection.finish()
    assert peer.released == 1


def test_a_head_is_bounded() -> None:
    refused(
        Peer().asked().says(b"HTTP/1.1 200 OK\r\nx: " + b"y" * (MAX_HEAD + 1), 8192), "head from upstream is too large"
    )


def test_interim_answers_without_end_are_bounded() -> None:
    """RFC 9110 §15.2 lets any number of them come first; each is over at once, together they count."""
    refused(Peer().asked().says(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 4000, 4096), "head from upstream is too large")


def test_a_few_interim_answers_are_skipped() -> None:
    peer = Peer().asked().says(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + ANSWER)
    assert peer.resumed == 1
    assert peer.connection.answer.status == 200


def test_a_whole_answer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BODY", 1000)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    refused(
        Peer().asked().says(head + b"64\r\n" + b"x" * 100 + b"\r\n").says((b"64\r\n" + b"x" * 100 + b"\r\n") * 10),
        "too large",
    )


def test_an_error_answer_is_not_read_to_its_end() -> None:
    peer = Peer().asked().says(b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert peer.resumed == 0
    peer.says((b"400\r\n" + b"x" * 1024 + b"\r\n") * 65, 4096)
    assert peer.resumed == 1
    assert not peer.connection.answer.complete
    peer.connection.finish()
    assert peer.transport.aborted


@pytest.mark.parametrize(
    "noise",
    [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother", b"HTTP/1.1 200 OK\r\n"],
    ids=("byte", "answer", "head"),
)
def test_bytes_behind_an_answer_never_reach_the_next_request(noise: bytes) -> None:
    """Sent with the answer, or while the connection is idle: either way it is not used again."""
    together = Peer().asked().says(ANSWER + noise)
    assert (together.failure, together.resumed) == (None, 1)
    assert together.connection.answer.take() == b"ok"
    together.connection.finish()
    later = Peer().asked().says(ANSWER)
    later.connection.finish()
    later.says(noise)
    assert (together.released, together.transport.aborted) == (0, True)
    assert later.transport.aborted
    assert not later.connection.usable(0.0)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x01\x02",
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
    ],
)
def test_what_is_no_http_is_a_failure(garbage: bytes) -> None:
    refused(Peer().asked().says(garbage), "malformed answer from upstream")


@pytest.mark.parametrize("piece", [1, 50, 1 << 20])
def test_what_a_stream_brought_before_its_noise_is_delivered(piece: int) -> None:
    class Relaying(Peer):
        def resume(self) -> None:
            sink: Any = self
            self.connection.attach(sink)

    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    peer = Relaying().asked(streaming=True).says(head + b"3\r\nabc\r\n3\r\ndef\r\nno chunk\r\n", piece)
    assert peer.body == b"abcdef"
    assert not peer.complete
    refused(peer, "malformed answer from upstream")


def test_a_body_below_its_length_is_a_failure() -> None:
    peer = Peer().asked().says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok")
    peer.connection.eof_received()
    refused(peer, "connection closed before the answer was complete")


def test_a_stream_that_is_cut_does_not_end() -> None:
    peer = Peer().asked(streaming=True).says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    sink: Any = peer
    peer.connection.attach(sink)
    peer.says(b"3\r\ndef\r\n")
    peer.connection.connection_lost(None)
    assert peer.body == b"abcdef"
    assert peer.failure is not None and peer.failure.type == "stream_aborted"
    assert not peer.complete
