"""What `/status/config` and the configuration metrics say about loads, one after the other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fastgw.runtime.file_status import FileStatus, rejection
from fastgw.state.board import Board
from fastgw.telemetry.exposition import Exposition

GOOD, OTHER, BAD = "1" * 64, "2" * 64, "3" * 64


@pytest.fixture
def board() -> Any:
    board = Board.create(1, 64)
    yield board
    board.close()


def samples(exposition: Exposition) -> dict[str, str]:
    lines = exposition.render().decode().splitlines()
    return dict(line.removeprefix("fastgw_").rsplit(" ", 1) for line in lines if not line.startswith("#"))


def read(status: FileStatus) -> dict[str, Any]:
    return asyncio.run(status.document())


def test_before_anything_was_loaded(board: Board) -> None:
    document = read(FileStatus(Exposition("fastgw", board)))
    assert document == {
        "state": "never_loaded",
        "source": {"type": "file"},
        "last_failure": None,
        "rejected": [],
        "partially_compatible": [],
    }


def test_a_life_of_loads(board: Board) -> None:
    exposition = Exposition("fastgw", board)
    state = FileStatus(exposition)
    state.applied(GOOD, {"models": 2, "api_keys": 0})
    document = read(state)
    assert document["state"] == "synced"
    assert document["applied"]["resource_counts"] == {"models": 2}
    assert (document["applied"]["config_hash"], document["applied"]["apply_seq"]) == (GOOD, 1)
    assert document["source"]["source_hash"] == GOOD

    state.applied(GOOD, {"models": 2})
    assert read(state)["applied"]["apply_seq"] == 1

    state.failed("report", [('models[0] ("m")', "bad"), ("api_keys[3]", "cannot decode canonical document: x")], BAD)
    document = read(state)
    assert document["state"] == "out_of_sync"
    assert document["applied"]["config_hash"] == GOOD
    assert document["source"]["source_hash"] == BAD
    assert document["last_reload"]["successful"] is False
    assert document["last_failure"]["last_error"] == "report"
    assert [(row["resource_kind"], row["resource_id"], row["last_error_kind"]) for row in document["rejected"]] == [
        ("api_keys", "", "parse_failed"),
        ("models", "m", "schema_failed"),
    ]
    found = samples(exposition)
    assert found["config_last_reload_successful"] == "0"
    assert found['config_reload_failures_total{reason="validate"}'] == "1"
    assert found['config_rejected_resources{kind="models"}'] == "1"
    assert found["config_reloads_total"] == "3"

    state.failed("unreadable", [("(file)", "cannot read file: gone")])
    document = read(state)
    assert document["state"] == "out_of_sync"
    assert document["last_failure"]["last_error_kind"] == "fetch"
    assert len(document["rejected"]) == 2

    state.applied(OTHER, {})
    document = read(state)
    assert document["state"] == "empty"
    assert document["applied"]["apply_seq"] == 2
    assert document["rejected"] == []
    assert document["last_failure"]["last_error_kind"] == "fetch"
    found = samples(exposition)
    assert found["config_last_reload_successful"] == "1"
    assert found['config_reload_failures_total{reason="fetch"}'] == "1"
    assert found['config_rejected_resources{kind="models"}'] == "0"
    assert found[f'config_hash_info{{hash="{GOOD}"}}'] == "0"
    assert found[f'config_hash_info{{hash="{OTHER}"}}'] == "1"


def test_an_unreadable_file_says_nothing_about_what_is_served(board: Board) -> None:
    state = FileStatus(Exposition("fastgw", board))
    state.applied(GOOD, {"models": 1})
    state.failed("unreadable", [("(file)", "cannot read file: gone")])
    assert read(state)["state"] == "synced"
    assert read(state)["last_reload"]["successful"] is False


@pytest.mark.parametrize(
    ("scope", "message", "expected"),
    [
        ("(file)", "YAML parse error: x", ("(file)", "", "non_json")),
        ("models[0]", "entry must be a mapping", ("models", "", "schema_failed")),
        ('models[0] ("a ("b")")', "bad", ("models", 'a ("b")', "schema_failed")),
    ],
)
def test_rejections(scope: str, message: str, expected: tuple[str, str, str]) -> None:
    row = rejection(scope, message)
    assert (row["resource_kind"], row["resource_id"], row["last_error_kind"]) == expected
    assert row["last_error"] == message
