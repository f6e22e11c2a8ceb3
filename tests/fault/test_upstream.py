"""What the gateway makes of an upstream that breaks, at every place of an answer.

After every test the fixture checks that connections, requests in flight and file descriptors are back where they were.
"""

from __future__ import annotations

import json
import re
import threading
import time
from typing import Any

import pytest

from fastgw.upstream.pool import LINGER_SECONDS
from tests.fault.conftest import PACE_MS, TIMEOUT_MS, Bench, documents
from tests.support import faultproxy as fp
from tests.support.gateway import free_port, gateway
from tests.support.observe import ask, chat_request, total, until
from tests.support.wire import Answer, Wire

HEAD = b"\r\n\r\n"
COMPLETION = json.dumps(
    {
        "id": "x",
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    }
).encode()
CHUNK = b'data: {"id":"x","model":"m","choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
IN_BAND = b'data: {"error":{"message":"boom","type":"server_error"}}\n\n'

WHOLE_PLACES: dict[str, fp.Step] = {
    "before head": fp.pass_bytes(0),
    "mid head": fp.pass_until(HEAD, -20),
    "after head": fp.pass_until(HEAD),
    "mid body": fp.pass_until(HEAD, 50),
}
STREAM_PLACES: dict[str, fp.Step] = {
    "after head": fp.pass_until(HEAD),
    "mid first event": fp.pass_until(HEAD, 50),
    "between events": fp.pass_until(b"}\n\n\r\n"),
    "mid later event": fp.pass_until(b"}\n\n\r\n", 50),
    "before done": fp.pass_until(b"data: [DONE]", -15),
    "mid done": fp.pass_until(b"data: [DO"),
}
ENDINGS: dict[str, fp.Step] = {"reset": fp.reset(), "truncate": fp.close(), "half close": fp.half_close()}


def sized(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def chunked(*parts: bytes, last: bool = True) -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + body + (b"0\r\n\r\n" if last else b"")


def failed(answer: Answer, status: int, kind: str) -> str:
    """The answer is one JSON error; its message."""
    assert (answer.end, answer.status) == ("complete", status), answer
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert error["type"] == kind
    message: str = error["message"]
    return message


def broken_stream(answer: Answer, kind: str) -> dict[str, Any]:
    """The answer is a stream that ends with exactly one error frame and nothing that looks like a good end."""
    assert (answer.end, answer.status) == ("complete", 200), answer
    assert answer.headers["content-type"] == "text/event-stream"
    assert b"[DONE]" not in answer.body
    assert answer.body.count(b"event: error\n") == 1
    before, _, frame = answer.body.partition(b"event: error\ndata: ")
    assert all(json.loads(line[6:])["choices"] for line in before.split(b"\n\n") if line.startswith(b"data: "))
    assert frame.endswith(b"\n\n")
    error: dict[str, Any] = json.loads(frame)["error"]
    assert error["type"] == kind
    return error


def good_stream(answer: Answer) -> None:
    assert (answer.end, answer.status) == ("complete", 200), answer
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert b"event: error" not in answer.body


class Counts:
    """Differences of metrics since the start of a block."""

    def __init__(self, bench: Bench) -> None:
        self._gateway = bench.gateway
        self._before = bench.gateway.metrics()

    def added(self, name: str, **labels: str) -> float:
        return total(self._gateway.metrics(), name, **labels) - total(self._before, name, **labels)


# -- before anything was relayed


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("place", WHOLE_PLACES)
def test_a_broken_answer(bench: Bench, place: str, ending: str) -> None:
    counts = Counts(bench)
    bench.proxy.always(WHOLE_PLACES[place], ENDINGS[ending])
    message = failed(ask(bench.gateway, "fast-chat"), 502, "transport_error")
    assert message.startswith("transport error: ")
    assert bench.proxy.accepted == 1
    assert counts.added("fastgw_requests_total") == 1
    assert counts.added("fastgw_requests_total", status="502", outcome="upstream_error") == 1
    assert counts.added("fastgw_deployment_requests_total") == 1
    assert counts.added("fastgw_deployment_failure_responses_total") == 1


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("place", ["before head", "mid head"])
def test_a_stream_that_breaks_before_its_head_is_complete(bench: Bench, place: str, ending: str) -> None:
    counts = Counts(bench)
    bench.proxy.always(WHOLE_PLACES[place], ENDINGS[ending])
    failed(ask(bench.gateway, "fast-chat", stream=True), 502, "transport_error")
    assert bench.proxy.accepted == 1
    assert counts.added("fastgw_proxy_requests_total", status="502", stream="true") == 1
    assert counts.added("fastgw_deployment_failure_responses_total") == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("place", ["before head", "mid head", "after head", "mid body"])
def test_a_stall(bench: Bench, place: str, stream: bool) -> None:
    bench.proxy.always(WHOLE_PLACES[place], fp.stall())
    began = time.monotonic()
    answer = ask(bench.gateway, "stream-timed" if stream else "timed", stream=stream)
    assert failed(answer, 504, "timeout") == f"upstream request timed out after {TIMEOUT_MS}ms"
    assert 0.28 < time.monotonic() - began < 5
    assert bench.proxy.accepted == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("alias", "attempts"), [("fast-chat", 1), ("retry-1", 2), ("retry-default", 3)])
def test_the_number_of_attempts(bench: Bench, alias: str, attempts: int, stream: bool) -> None:
    counts = Counts(bench)
    bench.proxy.always(fp.pass_until(HEAD, -20), fp.reset())
    failed(ask(bench.gateway, alias, stream=stream), 502, "transport_error")
    assert bench.proxy.accepted == attempts
    assert bench.mock.stats()["requests"] == attempts
    assert counts.added("fastgw_deployment_failure_responses_total") == attempts
    assert counts.added("fastgw_requests_total") == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_retry_that_succeeds(bench: Bench, stream: bool) -> None:
    counts = Counts(bench)
    bench.proxy.script(fp.pass_bytes(0), fp.reset())
    answer = ask(bench.gateway, "retry-1", stream=stream)
    assert (answer.end, answer.status) == ("complete", 200)
    assert bench.proxy.accepted == 2
    assert counts.added("fastgw_deployment_requests_total") == 2
    assert counts.added("fastgw_deployment_success_responses_total") == 1
    assert counts.added("fastgw_requests_total") == 1


@pytest.mark.parametrize(("alias", "attempts"), [("timed-default", 1), ("timed-1", 2)])
def test_a_deadline_is_repeated_only_when_retries_are_configured(bench: Bench, alias: str, attempts: int) -> None:
    bench.proxy.always(fp.stall())
    failed(ask(bench.gateway, alias), 504, "timeout")
    assert bench.proxy.accepted == attempts


@pytest.mark.parametrize("stream", [False, True])
def test_a_refused_connection(bench: Bench, stream: bool) -> None:
    with gateway(documents(f"http://127.0.0.1:{free_port()}/v1")) as gw:
        message = failed(ask(gw, "retry-1", stream=stream), 502, "transport_error")
        assert "Connection refused" in message
        assert total(gw.metrics(), "fastgw_deployment_failure_responses_total") == 2


def test_a_name_that_does_not_resolve(bench: Bench) -> None:
    with gateway(documents("http://nobody.invalid:1/v1")) as gw:
        message = failed(ask(gw, "fast-chat"), 502, "transport_error")
        assert "nobody.invalid" in message
        assert len(message) < 200


def test_a_connect_that_gets_no_answer(bench: Bench) -> None:
    """TLS towards an upstream that accepts and says nothing: the handshake counts as connecting."""
    bench.proxy.always(fp.await_request(b"nobody says this"))
    url = bench.proxy.url.replace("http://", "https://")
    document = documents(url)
    document["provider_keys"].append({**document["provider_keys"][0], "display_name": "direct", "adapter": "anthropic"})
    document["models"].append({**document["models"][0], "display_name": "direct", "provider_key": "direct"})
    with gateway(document, {"upstream": {"connect_timeout_ms": 300}}) as gw:
        message = failed(ask(gw, "fast-chat"), 502, "transport_error")
        assert message == "transport error: connect timed out after 300ms"
        with Wire(("127.0.0.1", gw.port)) as wire:
            wire.send(chat_request("direct").replace(b"/v1/chat/completions", b"/v1/messages"))
            answer = wire.answer()
        assert (answer.status, answer.json()["error"]) == (
            504,
            {"type": "api_error", "message": "upstream request timed out after 300ms"},
        )


# -- what is no HTTP, or not the HTTP that was asked for

PLAYED: dict[str, tuple[bytes, str]] = {
    "garbage": (b"\x00\xfe\xff no HTTP here\r\n\r\n", "malformed answer"),
    "huge head": (b"HTTP/1.1 200 OK\r\nx: " + b"a" * 200_000, "head from upstream is too large"),
    "many fields": (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000, "head from upstream is too large"),
    "flood of interim answers": (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * 4000, "too large"),
    "switching protocols": (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nx",
        "switched protocols",
    ),
    "length and chunked": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "malformed answer",
    ),
    "two lengths": (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello", "malformed answer"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("what", PLAYED)
def test_bad_http(bench: Bench, what: str, stream: bool) -> None:
    data, cause = PLAYED[what]
    # The connection stays open: it is the gateway that gives up.
    bench.proxy.always(fp.await_request(), fp.send(data), fp.stall())
    assert cause in failed(ask(bench.gateway, "fast-chat", stream=stream), 502, "transport_error")
    assert bench.proxy.accepted == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_bad_chunk_size(bench: Bench, stream: bool) -> None:
    data = chunked(CHUNK if stream else COMPLETION[:20], last=False)
    bench.proxy.always(fp.await_request(), fp.send(data), fp.delay(0.05), fp.send(b"zz\r\n"), fp.stall())
    answer = ask(bench.gateway, "fast-chat", stream=stream)
    if stream:
        broken_stream(answer, "transport_error")
    else:
        failed(answer, 502, "transport_error")


def test_what_came_before_a_bad_chunk_size_is_relayed(bench: Bench) -> None:
    """However it was cut into reads."""
    head, _, chunk = chunked(CHUNK, last=False).partition(HEAD)
    bench.proxy.always(
        fp.await_request(), fp.send(head + HEAD + chunk), fp.delay(0.05), fp.send(chunk + b"zz\r\n"), fp.stall()
    )
    answer = ask(bench.gateway, "fast-chat", stream=True)
    broken_stream(answer, "transport_error")
    assert answer.body.count(b'"content":"hi"') == 2


def test_interim_answers_are_skipped(bench: Bench) -> None:
    bench.proxy.always(fp.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"))
    assert ask(bench.gateway, "fast-chat").status == 200
    good_stream(ask(bench.gateway, "fast-chat", stream=True))


def test_no_content(bench: Bench) -> None:
    failed(ask(bench.gateway, "fast-chat", status=204), 502, "upstream_decode_error")
    assert ask(bench.gateway, "fast-chat", stream=True, status=204).body == DONE
    failed(ask(bench.gateway, "stream-patient", stream=True, status=204), 502, "stream_aborted")


@pytest.mark.parametrize("raw", ["", "plain words", "<html></html>", "null", "[]", '{"id": 1}', CHUNK.decode()])
def test_a_success_that_is_no_completion(bench: Bench, raw: str) -> None:
    message = failed(ask(bench.gateway, "fast-chat", raw=raw), 502, "upstream_decode_error")
    assert message.startswith("upstream returned an unparseable body: ")


def test_json_for_a_stream(bench: Bench) -> None:
    bench.proxy.always(fp.await_request(), fp.send(sized(COMPLETION)), fp.stall())
    assert ask(bench.gateway, "fast-chat", stream=True).body == DONE
    # With a stream budget of its own the target has to deliver a chunk before anything is answered.
    failed(ask(bench.gateway, "stream-patient", stream=True), 502, "stream_aborted")


def test_a_body_that_ends_with_the_connection(bench: Bench) -> None:
    bench.proxy.always(fp.await_request(), fp.send(b"HTTP/1.1 200 OK\r\n\r\n" + COMPLETION), fp.close())
    assert ask(bench.gateway, "fast-chat").json()["choices"][0]["message"]["content"] == "hi"
    bench.proxy.always(fp.await_request(), fp.send(b"HTTP/1.0 200 OK\r\n\r\n" + CHUNK), fp.close())
    good_stream(ask(bench.gateway, "fast-chat", stream=True))
    bench.proxy.always(fp.await_request(), fp.send(b"HTTP/1.0 200 OK\r\n\r\n" + CHUNK), fp.delay(0.05), fp.reset())
    broken_stream(ask(bench.gateway, "fast-chat", stream=True), "stream_aborted")


def test_a_compressed_answer(bench: Bench) -> None:
    assert ask(bench.gateway, "fast-chat", gzip=True).json()["object"] == "chat.completion"
    answer = ask(bench.gateway, "fast-chat", stream=True, gzip=True)
    good_stream(answer)
    assert len(answer.chunks()) > 6
    bench.proxy.always(fp.await_request(), fp.send(sized(b"x")[:-5] + b"\r\ncontent-encoding: br\r\n\r\nx"), fp.stall())
    failed(ask(bench.gateway, "fast-chat"), 502, "upstream_decode_error")
    failed(ask(bench.gateway, "fast-chat", stream=True), 502, "upstream_decode_error")


@pytest.mark.parametrize("noise", [b"noise\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"])
def test_bytes_behind_the_answer_spoil_only_the_connection(bench: Bench, noise: bytes) -> None:
    bench.proxy.always(fp.await_request(), fp.send(sized(COMPLETION) + noise), fp.stall())
    assert ask(bench.gateway, "fast-chat").status == 200
    bench.proxy.always(fp.await_request(), fp.send(chunked(CHUNK, DONE) + noise), fp.stall())
    good_stream(ask(bench.gateway, "fast-chat", stream=True))


@pytest.mark.parametrize("ending", ["reset", "truncate", "stall"])
@pytest.mark.parametrize("size", [100_000, 8_000_000])
def test_an_error_answer_while_the_body_is_still_being_sent(bench: Bench, size: int, ending: str) -> None:
    end = {**ENDINGS, "stall": fp.stall()}[ending]
    body = b'{"error":{"message":"enough","type":"too_large","code":"big"}}'
    bench.proxy.always(fp.await_request(), fp.send(sized(body, "413 Content Too Large")), fp.delay(0.02), end)
    answer = ask(bench.gateway, "retry-1", content="x" * size)
    assert failed(answer, 413, "upstream_error") == "enough"
    assert answer.json()["error"]["code"] == "big"
    assert bench.proxy.accepted == 1


def test_an_endless_error_body_is_not_read(bench: Bench) -> None:
    head = b"HTTP/1.1 500 Oops\r\ntransfer-encoding: chunked\r\n\r\n"
    body = b"10000\r\n" + b"e" * 65536 + b"\r\n" + b"10000\r\nee"
    bench.proxy.always(fp.await_request(), fp.send(head + body), fp.stall())
    assert failed(ask(bench.gateway, "fast-chat"), 502, "upstream_error") == "upstream returned 500"


# -- streams that have begun


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("place", STREAM_PLACES)
def test_a_broken_stream(bench: Bench, place: str, ending: str) -> None:
    counts = Counts(bench)
    bench.proxy.always(STREAM_PLACES[place], ENDINGS[ending])
    # Retries are allowed, and none happens: the head is out.
    error = broken_stream(ask(bench.gateway, "retry-default", stream=True), "stream_aborted")
    assert error == {"message": "upstream cancelled the response mid-stream", "type": "stream_aborted"}
    assert bench.proxy.accepted == 1
    assert counts.added("fastgw_requests_total", status="200") == 1
    assert counts.added("fastgw_deployment_failure_responses_total") == 1
    assert counts.added("fastgw_deployment_success_responses_total") == 0


@pytest.mark.parametrize("place", ["between events", "mid later event", "before done"])
def test_a_stalled_stream(bench: Bench, place: str) -> None:
    bench.proxy.always(STREAM_PLACES[place], fp.stall())
    error = broken_stream(ask(bench.gateway, "stream-paced", stream=True), "timeout")
    ended = time.time()
    assert error["message"] == f"upstream request timed out after {PACE_MS}ms"
    assert bench.proxy.accepted == 1
    # Nobody waits for a stalled upstream to end its message.
    assert until(lambda: list(bench.proxy.ended), bool)[-1] - ended < 0.8 * LINGER_SECONDS


@pytest.mark.parametrize("place", ["after head", "mid first event"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_stream_with_a_budget_that_breaks_before_its_first_chunk(bench: Bench, place: str, ending: str) -> None:
    bench.proxy.always(STREAM_PLACES[place], ENDINGS[ending])
    failed(ask(bench.gateway, "stream-patient-1", stream=True), 502, "stream_aborted")
    assert bench.proxy.accepted == 2


def test_a_long_stream_with_small_gaps_outlives_its_timeout(bench: Bench) -> None:
    began = time.monotonic()
    good_stream(ask(bench.gateway, "stream-paced", stream=True, tokens=10, cadence_ms=PACE_MS / 4))
    assert time.monotonic() - began > 2 * PACE_MS / 1000


def test_an_error_frame_in_a_stream(bench: Bench) -> None:
    def play(*parts: bytes) -> None:
        bench.proxy.always(fp.await_request(), fp.send(chunked(*parts, last=False)), fp.stall())

    message = "upstream reported an in-band stream error: boom"
    play(IN_BAND)
    assert broken_stream(ask(bench.gateway, "retry-1", stream=True), "upstream_in_band_error")["message"] == message
    play(CHUNK, IN_BAND, CHUNK)
    answer = ask(bench.gateway, "stream-patient-1", stream=True)
    assert broken_stream(answer, "upstream_in_band_error")["message"] == message
    assert answer.body.count(b'"content":"hi"') == 1
    assert bench.proxy.accepted == 2
    play(IN_BAND)
    failed(ask(bench.gateway, "stream-patient-1", stream=True), 502, "upstream_error")
    assert bench.proxy.accepted == 4


@pytest.mark.parametrize("junk", [b"data: {nonsense\n\n", b'data: {"id":1}\n\n', b"data: plain\n\n"])
def test_a_frame_that_is_no_chunk(bench: Bench, junk: bytes) -> None:
    bench.proxy.always(fp.await_request(), fp.send(chunked(CHUNK, junk, CHUNK, DONE)), fp.stall())
    answer = ask(bench.gateway, "fast-chat", stream=True)
    broken_stream(answer, "upstream_decode_error")
    assert answer.body.count(b'"content":"hi"') == 1


@pytest.mark.parametrize("piece", [1, 7])
def test_an_answer_in_tiny_writes(bench: Bench, piece: int) -> None:
    bench.proxy.always(fp.pass_all(piece))
    assert ask(bench.gateway, "fast-chat").json()["object"] == "chat.completion"
    answer = ask(bench.gateway, "fast-chat", stream=True)
    good_stream(answer)
    assert len(answer.chunks()) >= 6


def test_a_quiet_stream_is_kept_alive_with_comments(bench: Bench) -> None:
    answer = ask(bench.gateway, "fast-chat", stream=True, first_ms=2500, tokens=2)
    good_stream(answer)
    assert re.match(rb"(:\n\n){2,}data: ", answer.body)
    # Before the first comment, which would bring the head along.
    assert answer.started < 0.9


def test_concurrent_faults_do_not_touch_other_streams(bench: Bench) -> None:
    with Wire(("127.0.0.1", bench.gateway.port)) as good:
        good.send(chat_request("fast-chat", stream=True, tokens=30, cadence_ms=20))
        bench.mock.wait(lambda stats: stats["open_streams"] == 1)
        bench.proxy.always(fp.pass_until(HEAD, 50), fp.reset())
        bad = [threading.Thread(target=lambda: ask(bench.gateway, "fast-chat", stream=True)) for _ in range(20)]
        for thread in bad:
            thread.start()
        for thread in bad:
            thread.join()
        good_stream(good.answer())
