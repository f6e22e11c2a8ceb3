"""Changes and the store that they make."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fastgw.resources.change import Change, Put, Store, merged
from fastgw.resources.models import Row

KINDS = ("models", "api_keys")


def content(store: Store) -> dict[tuple[str, str], Any]:
    return {(put.kind, put.row.id): put.row.value for put in store}


def stored(*changes: Change) -> Store:
    store = Store()
    for change in changes:
        store.apply(change)
    return store


rows = st.builds(Row, st.sampled_from("abcd"), st.integers(0, 9))
keys = st.tuples(st.sampled_from(KINDS), st.sampled_from("abcd"))
changes = st.builds(
    Change,
    st.lists(st.builds(Put, st.sampled_from(KINDS), rows), max_size=4).map(tuple),
    st.lists(keys, max_size=3).map(tuple),
    st.integers(0, 5).map(lambda number: number == 0),
)


def test_a_store_is_the_sum_of_its_changes() -> None:
    store = stored(Change((Put("models", Row("a", 1)), Put("models", Row("b", 1))), resync=True))
    store.apply(Change((Put("models", Row("a", 2, 7)), Put("api_keys", Row("k", 3))), (("models", "b"),)))
    assert content(store) == {("models", "a"): 2, ("api_keys", "k"): 3}
    assert store.get("models", "a") == Row("a", 2, 7)
    assert store.get("models", "b") is store.get("guardrails", "a") is None
    assert store.counts() == {"models": 1, "api_keys": 1}
    store.apply(Change((Put("models", Row("c", 1)),), resync=True))
    assert content(store) == {("models", "c"): 1}


def test_a_row_that_is_put_again_keeps_its_place() -> None:
    store = stored(
        Change((Put("models", Row("a", 1)), Put("models", Row("b", 1)))), Change((Put("models", Row("a", 2)),))
    )
    assert list(store.rows("models")) == ["a", "b"]


def test_deletes_come_before_puts() -> None:
    assert content(stored(Change((Put("models", Row("a", 1)),), (("models", "a"),)))) == {("models", "a"): 1}


@given(st.lists(changes, max_size=6))
def test_merged_changes_have_the_effect_of_all(steps: list[Change]) -> None:
    before = Change((Put("models", Row("a", 100)), Put("api_keys", Row("d", 100))))
    assert content(stored(before, merged(steps))) == content(stored(before, *steps))
