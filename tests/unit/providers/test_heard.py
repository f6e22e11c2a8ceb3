"""What a translated stream keeps for counting, while everything is passed on."""

from typing import Any

from fastgw.providers.canonical import Usage
from fastgw.providers.heard import KEPT, Heard


class Recorded:
    """A renderer that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.told.append((name, *arguments))


def test_everything_is_passed_on_and_the_text_kept() -> None:
    inner: Any = Recorded()
    heard = Heard(inner)
    heard.begin("id", "model")
    heard.reasoning("hm")
    heard.text("Hel")
    heard.tool(0, "call", "look")
    heard.arguments(0, '{"a":')
    heard.text("lo é")
    heard.arguments(0, "1}")
    heard.refusal("no")
    heard.signature("s")
    heard.usage(Usage(prompt_tokens=3))
    heard.finish("stop", None)
    heard.end()
    heard.take()
    names = "begin reasoning text tool arguments text arguments refusal signature usage finish end take"
    assert [told[0] for told in inner.told] == names.split()
    assert inner.told[3] == ("tool", 0, "call", "look")
    assert (heard.said.decode(), heard.beyond) == ('Hello éhmlook{"a":1}', 0)


def test_nothing_is_kept_once_completion_tokens_are_known() -> None:
    inner: Any = Recorded()
    heard = Heard(inner)
    heard.text("Hello")
    heard.usage(Usage(completion_tokens=1))
    heard.text("world")
    assert heard.said == b""


def test_what_does_not_fit_is_measured() -> None:
    inner: Any = Recorded()
    heard = Heard(inner)
    heard.text("x" * (KEPT - 1))
    heard.text("é" * 2)
    heard.text("y")
    assert (len(heard.said), heard.beyond) == (KEPT, 4)
