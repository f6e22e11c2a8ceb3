"""What golden fixtures do not show of chunks: the ids of streams whose upstream has none."""

import re
from typing import Any

import orjson
import pytest

from fastgw.endpoints.chat_render import ChatRenderer
from fastgw.providers.canonical import Usage


def chunks(renderer: ChatRenderer) -> list[Any]:
    return [orjson.loads(event.removeprefix(b"data: ")) for event in renderer.take().split(b"\n\n") if event]


def stream(begin: str | None) -> list[Any]:
    """The chunks of a stream that begins with an id, or (None) without a beginning."""
    renderer = ChatRenderer(b'"a"', include_usage=True)
    if begin is not None:
        renderer.begin(begin, "m")
    renderer.text("x")
    renderer.tool(0, "c", "f")
    renderer.arguments(0, "{}")
    renderer.finish("tool_calls")
    renderer.usage(Usage())
    return chunks(renderer)


@pytest.mark.parametrize("begin", [None, ""])
def test_a_stream_without_an_id_gets_one_of_its_own(begin: str | None) -> None:
    made = stream(begin)
    [id] = {chunk["id"] for chunk in made}
    assert re.fullmatch("chatcmpl-[0-9a-f]{32}", id)
    assert "usage" in made[-1]
    assert stream(begin)[0]["id"] != id


def test_an_upstreams_id_stays() -> None:
    assert {chunk["id"] for chunk in stream("up-1")} == {"up-1"}
