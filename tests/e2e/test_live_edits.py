"""Edits of what is served, while it is served: they hold for the next request, and what runs is left alone."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.gateway import API_KEY, Gateway, gateway, resources
from tests.support.load import load
from tests.support.mock import Mock, mock_upstream
from tests.support.observe import ask, chat_request, until
from tests.support.wire import Answer, Wire

pytestmark = pytest.mark.any_workers


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    with mock_upstream(record=50) as running:
        yield running


def apply(gw: Gateway, document: dict[str, Any]) -> None:
    """Reload and wait until the file is what serves."""
    before = gw.status()["applied"]["apply_seq"]
    gw.write_resources(document)
    gw.reload()
    until(gw.status, lambda status: status["applied"]["apply_seq"] > before)


def caller(name: str, secret: str, **more: Any) -> dict[str, Any]:
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return {"display_name": name, "key_hash": digest, "allowed_models": ["*"], **more}


def call(gw: Gateway, secret: str) -> Answer:
    with Wire(("127.0.0.1", gw.port)) as wire:
        wire.send(chat_request("fast-chat").replace(API_KEY.encode(), secret.encode()))
        return wire.answer()


def refusal(answer: Answer) -> tuple[int, str | None, str]:
    error = answer.json()["error"]
    assert error["type"] == "invalid_api_key"
    return answer.status, error.get("code"), error["message"]


def sent(mock: Mock) -> str:
    """The credential of the last request at the provider."""
    return next(value for name, value in mock.requests()[-1]["headers"] if name.lower() == "authorization")


def test_a_provider_key_is_replaced_in_place_under_load(mock: Mock) -> None:
    with mock_upstream(record=50) as other, gateway(resources(mock.url)) as gw:
        with Wire(("127.0.0.1", gw.port), timeout=30) as streaming:
            # Begun with the first key; ends after it has been replaced several times.
            streaming.send(chat_request("fast-chat", stream=True, tokens=60, cadence_ms=50))
            with load(gw.port, 4, lambda: chat_request("fast-chat")) as running:
                for number, place in enumerate((mock, other, mock, other)):
                    until(lambda: running.answered, lambda found, more=running.answered + 20: found > more)  # type: ignore[misc]
                    document = resources(place.url)
                    document["provider_keys"][0]["api_key"] = f"secret-{number}"
                    apply(gw, document)
                    assert ask(gw, "fast-chat").status == 200
                    assert sent(place) == f"Bearer secret-{number}"
                before = mock.stats()["requests"]
                until(lambda: running.answered, lambda found, more=running.answered + 20: found > more)  # type: ignore[misc]
                assert mock.stats()["requests"] == before
            assert streaming.answer().payloads()[-1] == "[DONE]"
        assert running.failures == []


def test_a_callers_key_through_its_life(mock: Mock) -> None:
    document = resources(mock.url)
    keys = document["api_keys"] = [caller("one", "sk-one"), caller("two", "sk-two")]
    with gateway(document) as gw:
        assert call(gw, "sk-one").status == call(gw, "sk-two").status == 200
        keys[0] = caller("one", "sk-other")
        apply(gw, document)
        served = mock.stats()["requests"]
        assert refusal(call(gw, "sk-one")) == (401, None, "invalid API key")
        assert mock.stats()["requests"] == served
        assert call(gw, "sk-other").status == call(gw, "sk-two").status == 200
        keys[0] = caller("one", "sk-other", disabled=True)
        apply(gw, document)
        assert refusal(call(gw, "sk-other")) == (401, "api_key_disabled", "API key has been disabled")
        keys[0] = caller("one", "sk-other")
        apply(gw, document)
        assert call(gw, "sk-other").status == 200
        del keys[0]
        apply(gw, document)
        assert refusal(call(gw, "sk-other")) == (401, None, "invalid API key")
        assert call(gw, "sk-two").status == 200


def test_a_key_expires_by_the_clock(mock: Mock) -> None:
    document = resources(mock.url)
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=30)
    document["api_keys"] = [caller("one", "sk-one", expires_at=end.isoformat())]
    with gateway(document) as gw:
        assert call(gw, "sk-one").status == 200
        end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=1)
        document["api_keys"] = [caller("one", "sk-one", expires_at=end.isoformat())]
        apply(gw, document)
        # Nothing is loaded when it happens.
        answer = until(lambda: call(gw, "sk-one"), lambda answer: answer.status != 200)
        assert refusal(answer) == (401, "api_key_expired", "API key has expired")
        assert datetime.datetime.now(datetime.UTC) >= end
