"""What is remembered and logged of a caller's text."""

from types import SimpleNamespace
from typing import Any

from fastgw.gateway.account import MAX_AGENT, MAX_LOGGED, Accounts, access_line
from fastgw.policy.client_type import ClientTypes
from fastgw.state.board import Region
from fastgw.state.failures import Failures
from fastgw.state.named import NamedCells
from fastgw.telemetry.metrics import Registry


def test_long_agents_are_classified_but_not_remembered() -> None:
    accounts = Accounts(
        Registry(Region.private(4096), lambda definition: None), ClientTypes(), Failures(NamedCells.private())
    )
    for agent in (b"curl/8", b"curl/" + b"8" * MAX_AGENT, None):
        ex: Any = SimpleNamespace(request=SimpleNamespace(first=lambda name, agent=agent: agent))
        assert accounts.client_type(ex) == ("curl" if agent else "unknown")
    assert set(accounts._client_of) == {b"curl/8", None}


def test_an_access_line_holds_the_beginning_of_a_long_name() -> None:
    lines: list[dict[str, Any]] = []
    log = SimpleNamespace(request=lambda request_id, message, fields: lines.append(fields))
    ex: Any = SimpleNamespace(
        target=None,
        error=SimpleNamespace(type="model_not_found", message="m" * 1_000_000, cause=None),
        gone=False,
        head_sent=True,
        stream=False,
        relayed=False,
        gateway=SimpleNamespace(log=log),
        request_id=b"id",
        request=SimpleNamespace(method=b"POST"),
        endpoint="/v1/chat/completions",
        status=404,
        loop=SimpleNamespace(time=lambda: 1.0),
        started=0.0,
        alias="n" * 1_000_000,
        caller=None,
        prompt_tokens=0,
        completion_tokens=0,
        total_tokens=0,
        provider_request_id=None,
        attempts=0,
    )
    access_line(ex)
    assert lines[0]["model"] == "n" * MAX_LOGGED
    assert len(lines[0]["error"]) == 2 * MAX_LOGGED
