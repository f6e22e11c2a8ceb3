"""The mock through real sockets, read by h11: HTTP, directives, faults, introspection."""

import gzip
import itertools
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.support.mock import Mock, mock_upstream
from tests.support.wire import Wire, chat, request

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def shared() -> Iterator[Mock]:
    with mock_upstream(record=20) as running:
        yield running


@pytest.fixture
def mock(shared: Mock) -> Mock:
    shared.reset()
    return shared


@pytest.fixture
def wire(mock: Mock) -> Iterator[Wire]:
    with Wire(mock.address) as connection:
        yield connection


class TestHttp:
    def test_answers_share_a_connection_and_nothing_else(self, mock: Mock, wire: Wire) -> None:
        first, second = wire.post(chat()), wire.post(chat())
        assert first.status == second.status == 200
        assert first.json()["id"] != second.json()["id"]
        assert first.headers["x-request-id"] != second.headers["x-request-id"]
        assert first.json()["choices"] == second.json()["choices"]
        assert mock.stats()["accepted_connections"] == 1

    def test_pipelined_requests_are_answered_in_order(self, wire: Wire) -> None:
        contents = [f"answer {i}" for i in range(5)]
        wire.send(b"".join(request(chat(content=content)) for content in contents))
        answers = [wire.answer().json()["choices"][0]["message"]["content"] for _ in contents]
        assert answers == contents

    def test_a_stream_holds_pipelined_requests_back(self, wire: Wire) -> None:
        wire.send(request(chat(stream=True, tokens=3, cadence_ms=5)) + request(chat(content="after")))
        assert wire.answer().payloads()[-1] == "[DONE]"
        assert wire.answer().json()["choices"][0]["message"]["content"] == "after"

    def test_a_request_at_every_split(self, wire: Wire) -> None:
        data = request(chat(content="ok"))
        for at in range(1, len(data)):
            wire.send(data[:at])
            wire.send(data[at:])
            assert wire.answer().json()["choices"][0]["message"]["content"] == "ok"

    def test_chunked_request_body(self, mock: Mock, wire: Wire) -> None:
        body = json.dumps(chat(content="from chunks")).encode()
        chunks = b"".join(
            b"%x;ext=1\r\n%b\r\n" % (len(body[i : i + 7]), body[i : i + 7]) for i in range(0, len(body), 7)
        )
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: m\r\nTransfer-Encoding: chunked\r\n\r\n"
        for byte in head + chunks + b"0\r\ntrailer: x\r\n\r\n":
            wire.send(bytes([byte]))
        assert wire.answer().json()["choices"][0]["message"]["content"] == "from chunks"
        assert mock.requests()[0]["body"].encode() == body

    def test_expect_100_continue(self, wire: Wire) -> None:
        head, _, body = request(chat()).partition(b"\r\n\r\n")
        wire.send(head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert wire.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(body)
        assert wire.answer().status == 200

    def test_large_body(self, wire: Wire) -> None:
        document = chat()
        document["messages"][0]["content"] = "x" * 3_000_000
        assert wire.post(document).json()["usage"]["prompt_tokens"] == 750_006

    @pytest.mark.parametrize("stream", [False, True])
    def test_http_1_0_ends_with_the_connection(self, wire: Wire, stream: bool) -> None:
        wire.send(request(chat(stream=stream, content="old")).replace(b"HTTP/1.1", b"HTTP/1.0"))
        answer = wire.answer()
        assert answer.status == 200
        assert "transfer-encoding" not in answer.headers
        assert answer.headers["connection"] == "close"
        assert answer.body.endswith(b"data: [DONE]\n\n" if stream else b"}")
        assert wire.closed() == "eof"

    def test_http_1_0_keep_alive(self, wire: Wire) -> None:
        data = request(chat()).replace(b"HTTP/1.1\r\n", b"HTTP/1.0\r\nConnection: keep-alive\r\n")
        for _ in range(2):
            wire.send(data)
            answer = wire.answer()
            assert (answer.status, answer.headers["connection"]) == (200, "keep-alive")

    def test_connection_close_is_obeyed(self, wire: Wire) -> None:
        wire.send(request(chat()).replace(b"host: mock", b"Connection: Close"))
        assert wire.answer().headers["connection"] == "close"
        assert wire.closed() == "eof"

    def test_head_has_the_length_of_get_and_no_body(self, wire: Wire) -> None:
        whole = wire.post(None, "/v1/models", "GET")
        bare = wire.post(None, "/v1/models", "HEAD")
        assert bare.headers["content-length"] == whole.headers["content-length"] == str(len(whole.body))
        assert bare.body == b""
        assert next(card["id"] for card in whole.json()["data"]) == "mock-gpt"

    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (b"nonsense\r\n\r\n", 400),
            (b"GET / HTTP/2.0\r\n\r\n", 400),
            (b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
            (b"POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
            (b"GET /v1/nothing HTTP/1.1\r\n\r\n", 404),
            (b"GET /v1/chat/completions HTTP/1.1\r\n\r\n", 405),
            (b"GET /v1/models/none HTTP/1.1\r\n\r\n", 404),
        ],
    )
    def test_bad_requests(self, wire: Wire, data: bytes, status: int) -> None:
        wire.send(data)
        answer = wire.answer()
        assert answer.status == status
        assert answer.json()["error"]["type"] == "invalid_request_error"

    @pytest.mark.parametrize(
        ("document", "param"),
        [
            ({"messages": []}, "model"),
            ({"model": "m"}, "messages"),
            ({"model": "m", "messages": [{}], "n": 0}, "n"),
            ({"model": "m", "messages": [{}], "mock": {"no_such": 1}}, "mock"),
            ({"model": "m?tokens=many", "messages": [{}]}, "mock"),
            ({"model": "m", "messages": [{}], "mock": 5}, "mock"),
            ({"model": "m", "messages": [{}], "mock": {"fault": "reset", "at": "connect"}}, "mock"),
            ({"model": "m", "messages": [{}], "tools": 5, "mock": {"tool_calls": 1}}, None),
            ([], None),
        ],
    )
    def test_wrong_documents(self, wire: Wire, document: object, param: str | None) -> None:
        answer = wire.post(document)
        assert (answer.status, answer.json()["error"]["param"]) == (400, param)

    def test_azure_names_the_model_in_the_path(self, wire: Wire) -> None:
        document = {"messages": [{"role": "user", "content": "x"}]}
        answer = wire.post(document, "/openai/deployments/gpt-x/chat/completions?api-version=1")
        assert answer.json()["model"] == "gpt-x"


class TestDirectives:
    def test_later_sources_win(self) -> None:
        with mock_upstream(content="flag", status=418, usage=False) as mock, Wire(mock.address) as wire:
            assert wire.post(chat()).status == 418
            answer = wire.post(chat(model="m?status=200&content=suffix"))
            assert answer.json()["choices"][0]["message"]["content"] == "suffix"
            assert answer.json()["model"] == "m?status=200&content=suffix"
            assert "usage" not in answer.json()
            answer = wire.post(chat(model="m?status=500&content=suffix", content="body", status=None))
            assert answer.json()["choices"][0]["message"]["content"] == "body"

    @pytest.mark.parametrize("stream", [False, True])
    def test_latency_is_before_the_head(self, wire: Wire, stream: bool) -> None:
        assert wire.post(chat(stream=stream, latency_ms=60)).started >= 0.055

    @pytest.mark.parametrize("stream", [False, True])
    def test_first_ms_is_behind_the_head(self, wire: Wire, stream: bool) -> None:
        answer = wire.post(chat(stream=stream, first_ms=60))
        assert answer.finished - answer.started >= 0.050

    def test_cadence(self, wire: Wire) -> None:
        answer = wire.post(chat(stream=True, tokens=6, cadence_ms=15))
        # Role, six tokens, finish and [DONE]: eight gaps.
        assert answer.finished - answer.started >= 8 * 0.015 - 0.010

    def test_tokens_and_answer_bytes(self, wire: Wire) -> None:
        answer = wire.post(chat(tokens=7, answer_bytes=300)).json()
        assert len(answer["choices"][0]["message"]["content"]) == 300
        assert answer["usage"]["completion_tokens"] == 7
        chunks = wire.post(chat(stream=True, tokens=7, answer_bytes=300)).chunks()
        texts = [c["choices"][0]["delta"].get("content") for c in chunks]
        assert len([text for text in texts if text]) == 7
        assert sum(len(text or "") for text in texts) == 300
        assert wire.post(chat(tokens=0)).json()["choices"][0]["message"]["content"] == ""

    def test_content_is_kept_byte_for_byte(self, wire: Wire) -> None:
        text = 'π\u2028 "quoted"\r\n\n data: x'
        assert wire.post(chat(content=text)).json()["choices"][0]["message"]["content"] == text
        chunks = wire.post(chat(stream=True, content=text)).chunks()
        assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == text

    def test_usage_object_is_verbatim(self, wire: Wire) -> None:
        assert wire.post(chat(usage={"odd": 1})).json()["usage"] == {"odd": 1}
        document = chat(stream=True, usage={"odd": 1}) | {"stream_options": {"include_usage": True}}
        assert wire.post(document).chunks()[-1]["usage"] == {"odd": 1}

    def test_no_usage_in_streams(self, wire: Wire) -> None:
        document = chat(stream=True, usage=False) | {"stream_options": {"include_usage": True}}
        assert all("usage" not in chunk for chunk in wire.post(document).chunks())

    def test_status_and_error(self, wire: Wire) -> None:
        answer = wire.post(chat(status=429, retry_after=1.5, headers={"X-RateLimit-Remaining": 0}))
        assert (answer.status, answer.headers["retry-after"]) == (429, "1.5")
        assert answer.headers["x-ratelimit-remaining"] == "0"
        assert answer.json()["error"]["code"] == "rate_limit_exceeded"
        assert wire.post(chat(status=500, error="boom")).json()["error"]["message"] == "boom"
        assert wire.post(chat(status=400, error={"message": "m", "own": 1})).json() == {
            "error": {"message": "m", "own": 1}
        }
        assert wire.post(chat(model="m?status=503&error=plain text")).json()["error"]["message"] == "plain text"

    def test_streams_fail_before_they_start(self, mock: Mock, wire: Wire) -> None:
        answer = wire.post(chat(stream=True, status=500))
        assert (answer.status, answer.headers["content-type"]) == (500, "application/json")
        assert mock.stats()["streams_started"] == 0

    def test_raw_body(self, wire: Wire) -> None:
        answer = wire.post(chat(status=502, raw="<html>bad gateway", headers=[["Content-Type", "text/html"]]))
        assert (answer.status, answer.body) == (502, b"<html>bad gateway")
        assert answer.headers["content-type"] == "text/html"

    def test_own_headers_replace_the_mocks(self, wire: Wire) -> None:
        answer = wire.post(chat(headers={"X-Request-Id": "mine", "content-length": "1"}))
        assert (answer.headers["x-request-id"], answer.headers["content-length"]) == ("mine", "1")

    def test_gzip(self, wire: Wire) -> None:
        answer = wire.post(chat(gzip=True, content="packed"))
        assert answer.headers["content-encoding"] == "gzip"
        assert json.loads(gzip.decompress(answer.body))["choices"][0]["message"]["content"] == "packed"
        answer = wire.post(chat(stream=True, gzip=True, tokens=3))
        text = zlib.decompressobj(wbits=31).decompress(answer.body)
        assert text.count(b"data: ") == 6
        assert text.endswith(b"data: [DONE]\n\n")

    def test_verbatim_events(self, wire: Wire) -> None:
        answer = wire.post(chat(events=['{"a": 1}', {"b": 2}, "two\nlines"]))
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.body == b'data: {"a": 1}\n\ndata: {"b":2}\n\ndata: two\ndata: lines\n\ndata: [DONE]\n\n'
        assert wire.post(chat(events=["x"], no_done=True)).body == b"data: x\n\n"
        assert wire.post(chat(events=[], no_done=True)).body == b""

    @pytest.mark.parametrize(("name", "eol"), [("lf", b"\n"), ("crlf", b"\r\n"), ("cr", b"\r")])
    def test_line_ends(self, wire: Wire, name: str, eol: bytes) -> None:
        body = wire.post(chat(stream=True, tokens=2, line_end=name)).body
        assert body.endswith(b"data: [DONE]" + eol + eol)
        assert body.count(eol + eol) == 5
        assert set(body) & set(b"\r\n") == set(eol)

    @pytest.mark.parametrize("stream", [False, True])
    def test_split_writes(self, wire: Wire, stream: bool) -> None:
        for size in (1, 3, 64, 100_000):
            answer = wire.post(chat(stream=stream, content="cut", split=size))
            assert (answer.end, b"cut" in answer.body) == ("complete", True)

    def test_coalesced_stream_ignores_cadence(self, wire: Wire) -> None:
        wire.send(request(chat(stream=True, tokens=3, coalesce=True, cadence_ms=5000)))
        answer = wire.answer()
        assert answer.payloads()[-1] == "[DONE]"
        assert answer.finished < 5

    def test_fail_times_counts_by_key(self, mock: Mock, wire: Wire) -> None:
        failing = chat(status=500, fail_times=2, key="a")
        assert [wire.post(failing).status for _ in range(4)] == [500, 500, 200, 200]
        assert wire.post(chat(status=500, fail_times=1, key="b")).status == 500
        mock.reset()
        assert wire.post(failing).status == 500

    def test_fail_times_with_a_fault(self, mock: Mock) -> None:
        document = chat(stream=True, fault="reset", at="head", fail_times=1, key="f")
        with Wire(mock.address) as first, Wire(mock.address) as second:
            assert first.post(document).end == "reset"
            assert second.post(document).payloads()[-1] == "[DONE]"

    def test_close_after_is_unannounced(self, wire: Wire) -> None:
        answer = wire.post(chat(close_after=40))
        assert "connection" not in answer.headers
        # A request in time keeps the connection.
        assert wire.post(chat()).status == 200
        wire.post(chat(close_after=1))
        assert wire.closed() == "eof"

    @pytest.mark.parametrize("stream", [False, True])
    def test_close_chance(self, wire: Wire, stream: bool) -> None:
        assert wire.post(chat(stream=stream, close_chance=0)).end == "complete"
        assert wire.post(chat(stream=stream, close_chance=1)).end == "complete"
        assert wire.closed() == "eof"


class TestFaults:
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("at", ["head", "mid_head", "body", "mid_event", "after_events", "before_done"])
    @pytest.mark.parametrize(
        ("fault", "end"),
        [("reset", "reset"), ("close", "eof"), ("truncate", "eof"), ("half_close", "eof"), ("garbage", "protocol")],
    )
    def test_breaks(self, mock: Mock, wire: Wire, fault: str, at: str, end: str, stream: bool) -> None:
        answer = wire.post(chat(stream=stream, tokens=4, fault=fault, at=at))
        early = at in ("head", "mid_head")
        if fault == "garbage" and not (stream or early):
            # Inside a body of declared length any bytes are body, and these are fewer than the rest.
            end = "eof"
        if fault == "garbage" and stream and at == "mid_event":
            assert answer.end in ("protocol", "eof")
        else:
            assert answer.end == end
        assert answer.status == (0 if early else 200)
        if stream:
            assert b"[DONE]" not in answer.body
            assert mock.wait(lambda s: s["open_streams"] == 0)["streams_faulted"] == 1
        elif not early:
            assert len(answer.body) > 0

    def test_places_in_a_stream(self, mock: Mock) -> None:
        def body(**mocked: object) -> bytes:
            with Wire(mock.address) as wire:
                return wire.post(chat(stream=True, tokens=4, **mocked)).body

        # Role, four tokens, finish, [DONE].
        assert body(fault="close", at="after_events", events_before=3).count(b"\n\n") == 3
        assert body(fault="close", at="after_events", events_before=0) == b""
        assert body(fault="close", at="body").count(b"\n\n") == 3
        assert body(fault="close", at="before_done").count(b"\n\n") == 6
        middle = body(fault="truncate", events_before=2)
        assert middle.count(b"\n\n") == 2
        assert not middle.endswith(b"\n\n")

    def test_truncated_body_is_below_its_length(self, wire: Wire) -> None:
        answer = wire.post(chat(fault="truncate"))
        assert answer.end == "eof"
        assert 0 < len(answer.body) < int(answer.headers["content-length"])

    @pytest.mark.parametrize(("stream", "at"), list(itertools.product([False, True], ["head", "body"])))
    def test_stall_lasts_until_the_caller_leaves(self, mock: Mock, stream: bool, at: str) -> None:
        with Wire(mock.address, timeout=0.5) as wire:
            answer = wire.post(chat(stream=stream, fault="stall", at=at))
            assert (answer.end, answer.status) == ("timeout", 0 if at == "head" else 200)
            assert mock.stats()["open_streams"] == stream
        stats = mock.wait(lambda s: s["open_connections"] == 0)
        assert stats["streams_aborted" if stream else "requests_aborted"] == 1
        assert stats["last_abort"] is not None

    def test_half_close_goes_on_reading(self, mock: Mock, wire: Wire) -> None:
        assert wire.post(chat(stream=True, fault="half_close", at="after_events")).end == "eof"
        wire.send(b"x" * 100_000)
        assert mock.stats()["open_connections"] == 1
        wire.socket.close()
        mock.wait(lambda s: s["open_connections"] == 0)

    def test_slow_is_complete_in_the_end(self, wire: Wire) -> None:
        answer = wire.post(chat(content="s" * 200, fault="slow", at="body", rate=2000))
        assert answer.json()["choices"][0]["message"]["content"] == "s" * 200
        assert answer.finished - answer.started >= len(answer.body) / 2 / 2000 * 0.8

    def test_latency_comes_before_the_fault(self, wire: Wire) -> None:
        answer = wire.post(chat(fault="close", latency_ms=60))
        assert (answer.end, answer.finished >= 0.055) == ("eof", True)

    @pytest.mark.parametrize(("fault", "end"), [("reset", "reset"), ("close", "eof"), ("garbage", "protocol")])
    def test_at_connect(self, fault: str, end: str) -> None:
        with mock_upstream(fault=fault, at="connect", fail_times=2) as mock:
            for _ in range(2):
                try:
                    with Wire(mock.address) as wire:
                        assert wire.answer().end == end
                except ConnectionResetError:
                    # The reset may come before connect() returns.
                    assert end == "reset"
            with Wire(mock.address) as wire:
                assert wire.post(chat()).status == 200
                assert wire.post(chat(stream=True)).payloads()[-1] == "[DONE]"

    def test_stall_at_connect(self) -> None:
        with mock_upstream(fault="stall", at="connect", fail_times=1) as mock, Wire(mock.address, timeout=0.2) as wire:
            assert wire.post(chat()).end == "timeout"
            assert mock.stats()["requests"] == 0


class TestIntrospection:
    def test_requests_are_recorded_as_sent(self, mock: Mock, wire: Wire) -> None:
        body = b'{ "model":"m", "messages":[{"role":"user","content":"\xc3\xa9"}] }'
        head = b"POST /p/chat/completions?x=1 HTTP/1.1\r\nHost: a\r\nX-B: 1\r\nx-a:  2 \r\nX-B: 3\r\n"
        wire.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert wire.answer().status == 200
        wire.post(None, "/v1/models", "GET")
        first, second = mock.requests()
        assert (first["method"], first["path"], first["body"]) == ("POST", "/p/chat/completions?x=1", body.decode())
        assert first["headers"][:4] == [["Host", "a"], ["X-B", "1"], ["x-a", "2"], ["X-B", "3"]]
        assert (second["method"], second["path"]) == ("GET", "/v1/models")
        assert first["connection"] == second["connection"]
        mock.reset()
        assert mock.requests() == []

    def test_only_the_last_requests_are_kept(self, mock: Mock, wire: Wire) -> None:
        for i in range(25):
            wire.post(chat(content=str(i)))
        kept = [json.loads(entry["body"])["mock"]["content"] for entry in mock.requests()]
        assert kept == [str(i) for i in range(5, 25)]

    def test_counters(self, mock: Mock, wire: Wire) -> None:
        wire.post(chat())
        wire.post(chat(stream=True))
        with Wire(mock.address) as leaving:
            leaving.send(request(chat(stream=True, cadence_ms=20, tokens=1000)))
            mock.wait(lambda s: s["open_streams"] == 1)
        stats = mock.wait(lambda s: s["open_streams"] == 0)
        assert stats.pop("last_abort") > 0
        assert stats == {
            "requests": 3,
            "requests_aborted": 0,
            "open_connections": 1,
            "accepted_connections": 2,
            "streams_started": 2,
            "streams_finished": 1,
            "streams_aborted": 1,
            "streams_faulted": 0,
            "open_streams": 0,
        }

    def test_unknown_name(self, wire: Wire) -> None:
        assert wire.post(None, "/__mock/nothing", "GET").status == 404

    def test_slow_reader_stops_the_stream(self, mock: Mock) -> None:
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(mock.address)
            slow.sendall(request(chat(stream=True, tokens=200, answer_bytes=20_000_000)))
            mock.wait(lambda s: s["open_streams"] == 1)
            # Its 20 MB do not fit any socket buffer, so a stream without backpressure would end.
            with Wire(mock.address) as other:
                for _ in range(300):
                    other.post(chat())
            assert mock.stats()["open_streams"] == 1
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            slow.settimeout(20)
            tail = b""
            while not tail.endswith(b"0\r\n\r\n"):
                tail = (tail + slow.recv(1 << 20))[-64:]
            assert tail.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


class TestProcess:
    def test_sigterm_exits_0_with_streams_open(self) -> None:
        with mock_upstream(cadence_ms=60_000) as mock, Wire(mock.address) as wire:
            wire.send(request(chat(stream=True)))
            mock.wait(lambda s: s["open_streams"] == 1)
            mock.process.send_signal(signal.SIGTERM)
            assert mock.process.wait(timeout=20) == 0

    def test_tls(self, tmp_path: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(tmp_path / "key.pem")
        for blob in issued.cert_chain_pems:
            blob.write_to_path(tmp_path / "cert.pem", append=True)
        context = ssl.create_default_context()
        authority.configure_trust(context)
        flags = {"tls_cert": str(tmp_path / "cert.pem"), "tls_key": str(tmp_path / "key.pem")}
        with mock_upstream(**flags) as mock:
            assert mock.url.startswith("https://")
            ends = {}
            for fault in ("close", "truncate", "half_close"):
                with Wire(mock.address, tls=context) as wire:
                    assert wire.post(chat(stream=True)).payloads()[-1] == "[DONE]"
                    ends[fault] = wire.post(chat(stream=True, fault=fault, at="after_events")).end
            assert ends == {"close": "eof", "truncate": "truncated", "half_close": "truncated"}
            with Wire(mock.address, tls=context) as wire:
                wire.send(request(chat(stream=True, fault="reset", at="after_events")))
                # OpenSSL reports a reset as a truncation; the kernel knows better.
                with socket.socket(fileno=os.dup(wire.socket.fileno())) as raw, pytest.raises(ConnectionResetError):
                    raw.settimeout(20)
                    while raw.recv(65536):
                        pass
            assert mock.stats()["streams_faulted"] == 4

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--tokens", "many"],
            ["--fault", "explode"],
            ["--fault", "slow", "--at", "connect"],
            ["--close-chance", "2"],
            ["--rate", "0"],
            ["--status", "99"],
        ],
    )
    def test_wrong_flags_are_refused(self, arguments: list[str]) -> None:
        command = [sys.executable, "-m", "fastgw.mock", *arguments]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20)
        assert result.returncode == 2
        assert arguments[-2].removeprefix("--").replace("-", "_") in result.stderr.replace("-", "_")

    def test_reset_is_a_real_reset(self) -> None:
        with mock_upstream(fault="reset", at="body") as mock, Wire(mock.address) as wire:
            wire.send(request(chat()))
            assert wire.answer().end == "reset"
            linger = wire.socket.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
            assert struct.unpack("ii", linger) == (0, 0)
