"""Tables against a model: every version shows for ever what the table was when it was taken."""

import gc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw.gateway.tables import Edit, Ids, Table, Version, ids, link, unlink

KEYS = "abcdef"
changes = st.dictionaries(st.sampled_from(KEYS), st.none() | st.integers(0, 99), max_size=4)
edits = st.lists(st.tuples(st.booleans(), changes), max_size=12)


def shown(version: Version[str, int]) -> dict[str, int]:
    found = {key: value for key in KEYS if (value := version.get(key)) is not None}
    assert dict(version.items()) == found
    return found


@given(edits)
def test_versions_never_change(steps: list[tuple[bool, dict[str, int | None]]]) -> None:
    table: Table[str, int] = Table()
    truth: dict[str, int] = {}
    versions: list[tuple[Version[str, int], dict[str, int]]] = [(table.version, {})]
    for bulk, step in steps:
        edit = table.edit(bulk)
        for key, value in step.items():
            edit.set(key, value)
            assert edit.get(key) == value
        assert shown(table.version) == truth, "nobody sees it yet"
        edit.apply()
        truth = {key: value for key, value in {**truth, **step}.items() if value is not None}
        versions.append((table.version, dict(truth)))
        for version, expected in versions:
            assert shown(version) == expected


@pytest.mark.parametrize("bulk", [False, True])
def test_an_edit_that_is_dropped_leaves_nothing(bulk: bool) -> None:
    table: Table[str, int] = Table()
    table.patch({"a": 1})
    edit = table.edit(bulk)
    edit.set("a", None)
    edit.set("b", 2)
    assert dict(table.version.items()) == {"a": 1}
    table.edit(bulk).apply()
    assert dict(table.version.items()) == {"a": 1}


def test_a_version_that_nobody_holds_costs_nothing() -> None:
    table: Table[str, int] = Table()
    gc.collect()
    before = sum(isinstance(item, Version) for item in gc.get_objects())
    gc.disable()
    try:
        for number in range(1000):
            table.patch({"a": number})
        assert sum(isinstance(item, Version) for item in gc.get_objects()) == before
    finally:
        gc.enable()


def test_a_version_that_is_held_for_long_can_be_let_go() -> None:
    table: Table[str, int] = Table()
    table.patch({"a": -1})
    held = table.version
    for number in range(200_000):
        table.patch({"a": number})
    assert held.get("a") == -1
    # A chain as long as this one must not exhaust the stack when it is freed.
    del held
    assert table.version.get("a") == 199_999


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("xy"), st.sampled_from("123"))))
def test_an_index_knows_every_row_of_a_key(steps: list[tuple[bool, str, str]]) -> None:
    table: Table[str, Ids] = Table()
    truth: dict[str, set[str]] = {"x": set(), "y": set()}
    edit: Edit[str, Any] = table.edit(False)
    for adding, key, id in steps:
        (link if adding else unlink)(edit, key, id)
        (truth[key].add if adding else truth[key].discard)(id)
        for name, expected in truth.items():
            assert ids(edit.get(name)) == tuple(sorted(expected))
