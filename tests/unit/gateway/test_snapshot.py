"""Which target serves a name."""

from typing import Any

import pytest

from fastgw.gateway.snapshot import MAX_CAPTURED, MAX_CAPTURED_NAME, Snapshot, Target


def target(name: str, model_name: str) -> Target:
    nothing: Any = None
    return Target(
        id=name,
        name=name,
        provider="p",
        model_name=model_name,
        model_json=b"",
        key_id="k",
        key_name="k",
        operations={},
        flaws={},
        networks=nothing,
        overrides=nothing,
        retries=None,
        timeout=None,
        stream_timeout=None,
        stream_configured=False,
    )


def snapshot(**models: str) -> Snapshot:
    return Snapshot(1, {}, {name: target(name, upstream) for name, upstream in models.items()}, [])


@pytest.mark.parametrize(
    ("name", "row", "upstream"),
    [
        ("exact", "exact", "m0"),
        ("team/exact", "team/exact", "m1"),
        ("team/x", "team/*", "up-x"),
        ("team/a/x", "team/a/*", "fixed"),
        ("other/", "other/*", "o--v2"),
        ("other/b-c", "other/*", "o-b-c-v2"),
        ("team/*", "team/*", "up-*"),
        ("a*b*c", None, None),
        ("a1b2c", None, None),
        ("nothing", None, None),
        ("", None, None),
    ],
)
def test_which_row_serves(name: str, row: str | None, upstream: str | None) -> None:
    models = {"exact": "m0", "team/exact": "m1", "team/*": "up-*", "team/a/*": "fixed", "other/*": "o-*-v2"}
    made = snapshot(**models, **{"x*y*": "never"})
    for _ in range(2):  # found, then remembered
        found = made.model(name)
        if row is None:
            assert found is None
            continue
        assert found is not None
        assert (found.row or found).name == row
        assert found.model_name == upstream
        assert made.model(name) is found


def test_what_is_remembered_is_bounded() -> None:
    made = snapshot(**{"*": "*"})
    for number in range(2 * MAX_CAPTURED + 5):
        assert made.model(f"name-{number}") is not None
        assert len(made._captured) <= MAX_CAPTURED
    long = "x" * (MAX_CAPTURED_NAME + 1)
    kept = len(made._captured)
    found = made.model(long)
    assert found is not None
    assert found.model_name == long
    assert len(made._captured) == kept
