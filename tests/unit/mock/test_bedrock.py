"""The mock's checks of Bedrock requests: signatures as botocore makes them, bodies as the API wants them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from fastgw.mock.bedrock import converse, framed
from fastgw.mock.script import build
from fastgw.mock.shapes import Refusal
from fastgw.mock.signature import flaw
from tests.support.eventstream_reference import event

SECRET = "secret"
PATH = "/model/a.b-v1%3A0/converse?x=1"


def signed(secret: str = SECRET, shift: float = 0, **fields: str) -> bytes:
    """A request head signed by botocore."""
    request = AWSRequest("POST", f"http://127.0.0.1:1{PATH}", data=b"{}", headers={"Content-Type": "a  b", **fields})
    moment = datetime.now(UTC) + timedelta(seconds=shift)
    with mock.patch("botocore.auth.get_current_datetime", lambda: moment):
        SigV4Auth(Credentials("AK", secret, "token"), "bedrock", "r").add_auth(request)
    lines = [f"POST {PATH} HTTP/1.1", "Host: 127.0.0.1:1", *(f"{n}: {v}" for n, v in request.headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def test_what_botocore_signs_is_right() -> None:
    assert flaw(signed(), b"{}", SECRET) is None
    assert flaw(signed(**{"X-Team": "a, b"}), b"{}", SECRET) is None


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (signed(), b"{ }"),
        (signed("other"), b"{}"),
        (signed(shift=-4000), b"{}"),
        (signed().replace(b"a  b", b"c"), b"{}"),
        (signed().replace(b"x=1", b"x=2"), b"{}"),
        (signed().replace(b"%3A", b"%3a"), b"{}"),
        (signed().replace(b"POST", b"GET"), b"{}"),
        (signed().replace(b"host;", b""), b"{}"),
        (signed().replace(b"\r\n\r\n", b"\r\nx-amz-target: x\r\n\r\n"), b"{}"),
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", b"{}"),
    ],
)
def test_what_is_wrong(head: bytes, body: bytes) -> None:
    assert flaw(head, body, SECRET)


def test_messages_are_those_of_the_reference() -> None:
    assert framed({"metadata": {"a": "ü"}}) == event("metadata", '{"a":"ü"}'.encode())
    assert framed({"exception throttlingException": {}}) == event("throttlingException", b"{}", "exception")
    assert framed({"error 500": None}) == event("500", b"null", "error")
    assert framed("\xff\x00") == b"\xff\x00"


def turn(role: str, *content: Any) -> dict[str, Any]:
    return {"role": role, "content": list(content)}


USE = {"toolUse": {"toolUseId": "t", "name": "n", "input": {}}}
RESULT = {"toolResult": {"toolUseId": "t", "content": [{"text": "x"}]}}


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({}, "messages"),
        ({"messages": [turn("user", {"text": "x"})], "n": 1}, "n"),
        ({"messages": [turn("user", {"text": "x"})], "inferenceConfig": {"stop": 1}}, "stop"),
        ({"messages": [turn("assistant", {"text": "x"})]}, "alternate"),
        ({"messages": [turn("user", {"text": "x"}), turn("user", {"text": "x"})]}, "alternate"),
        ({"messages": [turn("user", {"text": " "})]}, "blank"),
        ({"messages": [turn("user", {"novelty": " "})]}, "unknown block"),
        ({"messages": [turn("user", {"image": {"format": "tiff", "source": {"bytes": ""}}})]}, "format"),
    ],
)
def test_requests_that_are_refused(request_: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refusal, match=reason):
        converse(request_, build({}))


def test_a_tool_result_answers_the_turn_before() -> None:
    messages = [turn("user", {"text": "x"}), turn("assistant", USE), turn("user", RESULT)]
    [document] = converse({"messages": messages}, build({"tokens": 2})).items
    assert document["stopReason"] == "end_turn"
    assert json.dumps(document["output"]["message"]["content"]) == '[{"text": "The mock"}]'
