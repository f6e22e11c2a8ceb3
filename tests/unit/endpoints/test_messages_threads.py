"""Conversations kept by Anthropic are refused, in words that its SDK understands, where nobody keeps them."""

from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from anthropic.types import ThreadUnsupportedRequestErrorDetails

from fastgw.core.errors import GatewayError, render
from fastgw.endpoints.messages.call import MessagesCall, decode, decode_count
from fastgw.providers.overrides import Overrides
from fastgw.resources.models import RequestOverrides

CONTINUED = {"type": "continue", "previous_message_id": "msg_1"}
CREATED = {"type": "create"}


def call(thread: object) -> MessagesCall:
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "And?"}], "thread": thread}
    nothing: Any = None
    return decode(nothing, orjson.dumps(body))


def target(*forwarded: str) -> Any:
    overrides = Overrides.compile(RequestOverrides(forward_client_headers=list(forwarded)), None, "fastgw")
    return SimpleNamespace(model_name="claude", model_json=b'"claude"', overrides=overrides)


def told(error: GatewayError) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(render(error, "anthropic"))
    return found


def test_a_translated_request_cannot_continue() -> None:
    with pytest.raises(GatewayError) as caught:
        call(CONTINUED).canonical()
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, "thread", "unsupported_parameter")
    body = told(caught.value)
    assert body["error"]["type"] == "invalid_request_error"
    assert body["error"]["details"] == {"error_code": "thread_unsupported_request"}
    # The SDK reads its own type of it.
    ThreadUnsupportedRequestErrorDetails.model_validate(body["error"]["details"])


@pytest.mark.parametrize("thread", [CREATED, None])
def test_a_translated_request_may_begin(thread: object) -> None:
    assert "thread" not in call(thread).canonical()


@pytest.mark.parametrize("thread", [CREATED, CONTINUED])
@pytest.mark.parametrize("forwarded", [(), ("x-trace",)])
def test_a_native_request_needs_its_header(thread: object, forwarded: tuple[str, ...]) -> None:
    with pytest.raises(GatewayError) as caught:
        call(thread).upstream_body(target(*forwarded))
    assert told(caught.value)["error"]["details"] == {"error_code": "thread_unsupported_request"}


def test_a_native_request_with_its_header_goes_as_it_is() -> None:
    made = call(CONTINUED).upstream_body(target("anthropic-beta"))
    assert orjson.loads(made)["thread"] == CONTINUED
    assert orjson.loads(call(None).upstream_body(target()))["thread"] is None


def test_other_errors_have_no_details() -> None:
    assert "details" not in told(GatewayError(400, "invalid_request_error", "no"))["error"]
    nothing: Any = None
    with pytest.raises(GatewayError):
        decode_count(nothing, call(CREATED).body).upstream_body(target())
