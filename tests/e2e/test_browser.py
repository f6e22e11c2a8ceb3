"""The pages of the admin listener in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.browser import CHROMIUM, Page, browser
from tests.support.gateway import API_KEY, free_port, gateway, resources
from tests.support.mock import Mock, mock_upstream

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

KEY = "operator-key"
TURNS = "[...document.querySelectorAll('.turn')].map(box => [box.className, box.textContent])"


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    with mock_upstream(record=20) as running:
        yield running


@pytest.fixture(scope="module")
def origin(mock: Mock) -> Iterator[str]:
    port = free_port()
    admin = {"enabled": True, "addr": f"127.0.0.1:{port}", "admin_keys": [KEY]}
    document = resources(mock.url, retries=0)
    model = document["models"][0]
    for name, suffix in (("slow", "?cadence_ms=100&tokens=300"), ("broken", "?fault=reset&at=mid_event")):
        document["models"].append({**model, "display_name": name, "model_name": f"mock-gpt{suffix}"})
    with gateway(document, {"admin": admin}):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    with browser() as page:
        yield page


def ask(page: Page, origin: str, model: str, *, key: str = API_KEY, stream: bool = True) -> None:
    page.console.clear()
    page.open(f"{origin}/playground")
    say(page, model, "Say <b>something</b>.", key=key, stream=stream)


def say(page: Page, model: str, message: str, *, key: str = API_KEY, stream: bool = True) -> None:
    fields = {"key": key, "model": model, "message": message}
    page.run(f"Object.entries({json.dumps(fields)}).forEach(([id, text]) => {{ $(id).value = text }})")
    page.run(f"$('stream').checked = {json.dumps(stream)}; $('send').click()")


def test_a_streamed_conversation(tab: Page, origin: str, mock: Mock) -> None:
    ask(tab, origin, "fast-chat")
    tab.until("$('state').textContent.includes(' ms')")
    assert tab.run(TURNS) == [
        ["turn user", "Say <b>something</b>."],
        ["turn assistant", "The mock upstream answers with a few plain words in order."],
    ]
    assert tab.run("$('state').textContent.length") > 36
    say(tab, "fast-chat", "And again.")
    tab.until("$('state').textContent.includes(' ms') && document.querySelectorAll('.turn').length === 4")
    said = json.loads(mock.requests()[-1]["body"])
    assert [turn["role"] for turn in said["messages"]] == ["user", "assistant", "user"]
    assert said["stream"] is True
    tab.run("$('clear').click()")
    assert tab.run(TURNS) == []
    assert tab.console == []


def test_a_whole_answer(tab: Page, origin: str) -> None:
    ask(tab, origin, "fast-chat", stream=False)
    tab.until("$('state').textContent.includes(' ms')")
    assert tab.run(TURNS)[1][1].startswith("The mock upstream")


def test_text_appears_while_it_arrives_and_can_be_stopped(tab: Page, origin: str, mock: Mock) -> None:
    ask(tab, origin, "slow")
    tab.until("document.querySelector('.assistant')?.textContent.length > 5")
    assert tab.run("running !== null")
    tab.run("$('stop').click()")
    tab.until("$('state').textContent === 'failed'")
    assert tab.run(TURNS)[1][1].endswith("stopped")
    mock.wait(lambda stats: stats["open_streams"] == 0)


@pytest.mark.parametrize(
    ("model", "key", "text"),
    [
        ("nope", API_KEY, '404 model_not_found: model_not_found: model "nope" not found'),
        ("fast-chat", "sk-nobody", "401 invalid_api_key: invalid API key"),
    ],
)
def test_refusals_are_told(tab: Page, origin: str, model: str, key: str, text: str) -> None:
    ask(tab, origin, model, key=key)
    tab.until("$('state').textContent === 'failed'")
    assert tab.run(TURNS)[1] == ["turn assistant error", text]


def test_a_stream_that_breaks_does_not_look_complete(tab: Page, origin: str) -> None:
    ask(tab, origin, "broken")
    tab.until("$('state').textContent === 'failed'")
    assert "transport" in tab.run(TURNS)[1][1] or "stream" in tab.run(TURNS)[1][1]


def test_the_reference(tab: Page, origin: str) -> None:
    tab.console.clear()
    tab.open(f"{origin}/admin/openapi-scalar")
    tab.until("document.querySelectorAll('main > details').length > 10")
    assert tab.run("$('title').textContent") == "fastgw admin API"
    shown = tab.run("[...document.querySelectorAll('main > details > summary code')].map(code => code.textContent)")
    document = tab.run("fetch('/admin/openapi.json').then(answer => answer.json())")
    assert sorted(shown) == sorted(document["paths"])
    box = "document.getElementById('get /admin/v1/models')"
    for key, status in (("", "401"), (KEY, "200")):
        tab.run(f"$('key').value = {json.dumps(key)}; {box}.querySelector('button').click()")
        tab.until(f"{box}.querySelector('div pre').textContent.startsWith({json.dumps(status)})")
    assert '"display_name": "fast-chat"' in tab.run(f"{box}.querySelector('div pre').textContent")
    # The refused request above is the only thing that the browser has to say.
    assert all("401" in line for line in tab.console), tab.console
