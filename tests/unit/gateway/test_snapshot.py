"""Which target serves a name."""

import asyncio

import pytest

from fastgw.gateway.snapshot import MAX_CAPTURED, MAX_CAPTURED_NAME, Snapshot
from tests.support.catalog import Rows, compiler


def snapshot(**models: str) -> Snapshot:
    async def scene() -> Rows:
        return Rows(compiler())

    common = {"provider": "p", "provider_key_id": "k"}
    rows = {name: {"display_name": name, "model_name": upstream, **common} for name, upstream in models.items()}
    return asyncio.run(scene()).change({"models": rows})


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
        assert len(made._compiled.captured) <= MAX_CAPTURED
    long = "x" * (MAX_CAPTURED_NAME + 1)
    kept = len(made._compiled.captured)
    found = made.model(long)
    assert found is not None
    assert found.model_name == long
    assert len(made._compiled.captured) == kept
