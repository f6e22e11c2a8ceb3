"""Rows in, snapshots out: what a change does to who comes after it, and to who was there before."""

import asyncio
import gc
import tracemalloc
from collections.abc import Callable, Coroutine
from hashlib import sha256
from pathlib import Path
from typing import Any

import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw.config.schema import Config, Proxy
from fastgw.gateway.compile import Compiler
from fastgw.gateway.draft import Draft
from fastgw.gateway.snapshot import Caller, Snapshot, Target
from fastgw.gateway.tables import Version
from fastgw.telemetry.log import Log
from fastgw.upstream.pool import Pools, PoolSettings
from fastgw.upstream.tls import KeyTrust
from tests.support.catalog import Rows, compiler, encoded

KEY = {"display_name": "up", "adapter": "openai", "api_key": "one", "api_base": "http://one.example/v1"}
OTHER = KEY | {"api_key": "two", "api_base": "http://two.example/v1"}


def model(name: str, upstream: str = "u", key: str = "k") -> dict[str, Any]:
    return {"display_name": name, "provider": "p", "model_name": upstream, "provider_key_id": key}


def caller(secret: str, *models: str, **more: Any) -> dict[str, Any]:
    return {"key_hash": sha256(secret.encode()).hexdigest(), "allowed_models": list(models or "*"), **more}


def known(snapshot: Snapshot, secret: str) -> str | None:
    found = snapshot.key_caller(sha256(secret.encode()).hexdigest())
    return None if found is None else found.id


def place(target: Target | None) -> tuple[str, bool]:
    """Host and whether the credential is that of the same version."""
    assert target is not None
    operation = target.operations["embeddings"]
    secret = {"one.example": b"Bearer one", "two.example": b"Bearer two"}[operation.url.host]
    return operation.url.host, secret in operation.head


def scene(test: Callable[[Rows], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    async def within() -> None:
        await test(Rows(compiler()))

    def sync() -> None:
        asyncio.run(within())

    sync.__name__ = test.__name__
    return sync


@scene
async def test_one_key_changes(rows: Rows) -> None:
    first = rows.change({"api_keys": {"1": caller("a"), "2": caller("b")}})
    assert (known(first, "a"), known(first, "b"), known(first, "c")) == ("1", "2", None)
    kept = first.caller("2")
    second = rows.change({"api_keys": {"1": caller("c")}})
    assert (known(second, "a"), known(second, "b"), known(second, "c")) == (None, "2", "1")
    assert second.caller("2") is kept, "what has not changed is not compiled again"
    assert (known(first, "a"), known(first, "c")) == ("1", None), "who held the old snapshot still has it"
    third = rows.change(deletes=[("api_keys", "2")])
    assert (known(third, "b"), known(second, "b")) == (None, "2")


@scene
async def test_rows_that_share_a_name_or_a_hash(rows: Rows) -> None:
    rows.change({"api_keys": {"2": caller("a"), "1": caller("a")}, "models": {"x": model("m", "ux")}})
    snapshot = rows.change({"models": {"y": model("m", "uy"), "a": model("m", "ua")}})
    assert known(snapshot, "a") == "2"
    found = snapshot.model("m")
    assert found is not None and found.model_name == "uy"
    assert snapshot.listing == [("m", "p")]
    snapshot = rows.change(deletes=[("api_keys", "2"), ("models", "y")])
    assert known(snapshot, "a") == "1"
    found = snapshot.model("m")
    assert found is not None and found.model_name == "ux"


@scene
async def test_a_provider_key_takes_its_models_with_it(rows: Rows) -> None:
    document = {"provider_keys": {"k": KEY, "l": KEY}, "models": {"1": model("a"), "2": model("b", key="l")}}
    first = rows.change(document)
    a, b = first.model("a"), first.model("b")
    second = rows.change({"provider_keys": {"k": OTHER}})
    assert place(second.model("a")) == ("two.example", True)
    assert second.model("b") is b
    assert place(a) == ("one.example", True)
    assert place(first.model("a")) == ("one.example", True), "compiled anew, from the old rows"
    assert a is not None
    renewed = second.model("a")
    assert renewed is not None
    assert renewed.labels is a.labels, "metrics see no difference"
    native = rows.change({"provider_keys": {"k": OTHER | {"adapter": "anthropic"}}}).model("a")
    assert native is not None
    assert native.labels is not a.labels, "here they do: the messages of a native relay are counted under its family"
    third = rows.change(deletes=[("provider_keys", "k")])
    gone = third.model("a")
    assert gone is not None and "unknown provider_key_id" in gone.flaws["embeddings"]("m").message
    assert place(rows.change({"provider_keys": {"k": KEY}}).model("a")) == ("one.example", True)


@scene
async def test_a_target_that_was_never_asked_for_is_of_the_snapshot_that_is_asked(rows: Rows) -> None:
    first = rows.change({"provider_keys": {"k": KEY}, "models": {"1": model("a")}})
    second = rows.change({"provider_keys": {"k": OTHER}})
    assert place(second.model("a")) == ("two.example", True)
    assert place(first.model("a")) == ("one.example", True)
    assert place(second.model("a")) == ("two.example", True)


@scene
async def test_wildcards_come_and_go(rows: Rows) -> None:
    def serves(snapshot: Snapshot, name: str) -> str | None:
        found = snapshot.model(name)
        return None if found is None else found.model_name

    first = rows.change({"models": {"1": model("a/*", "short-*")}})
    assert serves(first, "a/b/c") == "short-b/c"
    second = rows.change({"models": {"2": model("a/b/*", "long-*"), "3": model("a/x", "exact")}})
    assert (serves(second, "a/b/c"), serves(second, "a/x")) == ("long-c", "exact")
    assert (serves(first, "a/b/c"), serves(first, "a/x")) == ("short-b/c", "short-x")
    third = rows.change(deletes=[("models", "2"), ("models", "3")])
    assert (serves(third, "a/b/c"), serves(third, "a/x")) == ("short-b/c", "short-x")
    assert serves(rows.change({"models": {"1": model("a/*", "other-*")}}), "a/b/c") == "other-b/c"
    assert serves(rows.change({"models": {"1": model("b", "u")}}), "a/b/c") is None


@scene
async def test_the_list_of_models(rows: Rows) -> None:
    first = rows.change({"models": {"1": model("b"), "2": model("a"), "3": model("w*")}})
    assert first.listing == [("a", "p"), ("b", "p")]
    keys = rows.change({"api_keys": {"1": caller("a")}})
    assert keys.listing is first.listing
    assert rows.change({"models": {"2": model("c")}}).listing == [("b", "p"), ("c", "p")]
    assert first.listing == [("a", "p"), ("b", "p")]


@scene
async def test_identity_follows_bindings_and_mappings(rows: Rows) -> None:
    provider = {"name": "idp", "issuer": "https://i.example", "audiences": ["x"]}
    bound = {"jwt_provider": "idp", "jwt_subject": "s"}
    assert rows.change({"api_keys": {"1": caller("a", **bound)}}).identity is None
    first = rows.change({"oidc_providers": {"p": provider}})
    assert first.identity is not None
    assert first.bound("idp", "s") == ("1",)
    second = rows.change({"api_keys": {"1": caller("a", "m", **bound), "9": caller("z")}})
    assert second.identity is first.identity
    third = rows.change({"api_keys": {"2": caller("b", **bound)}})
    assert third.identity is not first.identity, "what was verified may be ambiguous now"
    assert third.bound("idp", "s") == ("1", "2")
    assert rows.change({"oidc_providers": {"p": provider | {"enabled": False}}}).identity is None


@scene
async def test_a_change_that_never_becomes_visible_is_dropped(rows: Rows) -> None:
    first = rows.change({"api_keys": {"1": caller("a")}})
    assert rows.change({"api_keys": {"1": caller("b")}}, publish=False) is first
    # The supervisor goes on with the next number; the one before is never published.
    rows.catalog.stage(3, "api_keys", [("2", encoded("api_keys", caller("c")))]).complete = True
    rows.revision = 3
    snapshot = rows.catalog.current()
    assert (known(snapshot, "a"), known(snapshot, "b"), known(snapshot, "c")) == ("1", None, "2")


@scene
async def test_a_worker_without_traffic_is_up_to_date_all_the_same(rows: Rows) -> None:
    for number in range(1, 6):
        rows.catalog.stage(number, "api_keys", [("1", encoded("api_keys", caller(f"s{number}")))]).complete = True
        rows.revision = number
    snapshot = rows.catalog.current()
    assert [known(snapshot, f"s{number}") for number in range(1, 6)] == [None, None, None, None, "1"]
    assert snapshot.revision == 5


@scene
async def test_an_unfinished_change_is_not_visible(rows: Rows) -> None:
    rows.catalog.stage(1, "api_keys", [("1", encoded("api_keys", caller("a")))])
    rows.revision = 1
    assert known(rows.catalog.current(), "a") is None


small = st.dictionaries(st.sampled_from("12345"), st.sampled_from("abc"), max_size=3)
steps = st.lists(st.tuples(st.booleans(), small, st.sets(st.sampled_from("12345"), max_size=2)), max_size=8)


@given(steps, st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_any_changes_lead_where_loading_all_rows_leads(steps: Any, random: Any) -> None:
    """Small and bulk changes, lookups in between in old and new snapshots: always the rows of their revision."""

    async def scenario() -> None:
        rows, truth = Rows(compiler()), dict[str, str]()
        held: list[tuple[Snapshot, dict[str, str]]] = []
        for bulk, puts, deletes in steps:
            gone = deletes - puts.keys()
            documents = {id: caller(secret) for id, secret in puts.items()}
            models = {id: model(f"m-{secret}", secret) for id, secret in puts.items()}
            snapshot = rows.change(
                {"api_keys": documents, "models": models},
                [(kind, id) for kind in ("api_keys", "models") for id in gone],
                bulk=bulk,
            )
            truth = {id: secret for id, secret in {**truth, **puts}.items() if id not in gone}
            held.append((snapshot, dict(truth)))
            for snapshot, expected in random.sample(held, min(3, len(held))):
                for secret in "abc":
                    owners = [id for id, other in expected.items() if other == secret]
                    assert known(snapshot, secret) == max(owners, default=None)
                    found = snapshot.model(f"m-{secret}")
                    assert (None if found is None else found.id) == max(owners, default=None)
                assert snapshot.listing == [(f"m-{secret}", "p") for secret in sorted(set(expected.values()))]

    asyncio.run(scenario())


# -- what is let go


@scene
async def test_what_is_replaced_is_freed_without_the_collector(rows: Rows) -> None:
    def compiled() -> list[object]:
        return [item for item in gc.get_objects() if isinstance(item, Target | Caller | Snapshot | Version)]

    def load(document: dict[str, Any], secret: str) -> None:
        models = {"1": model("a"), "2": model("flawed", key="nothing")}
        snapshot = rows.change({"provider_keys": {"k": document}, "models": models, "api_keys": {"1": caller(secret)}})
        for name, works in (("a", True), ("flawed", False)):
            found = snapshot.model(name)
            assert found is not None
            assert ("embeddings" in found.operations) is works
        assert known(snapshot, secret) == "1"

    load(KEY, "a")
    gc.collect()
    before = len(compiled())
    gc.disable()
    try:
        load(OTHER, "b")
        assert len(compiled()) == before
    finally:
        gc.enable()


def test_nothing_of_thousands_of_edits_stays() -> None:
    async def scenario() -> None:
        pools = Pools(asyncio.get_running_loop(), PoolSettings())
        rows = Rows(Compiler(Config(proxy=Proxy(addr="127.0.0.1:1")), pools, Log(0)))
        rows.change({"models": {str(n): model(f"m{n}") for n in range(20)}})

        def edit(number: int) -> None:
            name = f"m{number % 20}"
            key = KEY | {"api_base": f"http://h{number}.example/v1", "api_key": f"s{number}"}
            snapshot = rows.change(
                {
                    "provider_keys": {"k": key},
                    "models": {str(number % 20): model(name, f"u{number}")},
                    "api_keys": {str(number % 50): caller(f"secret-{number}")},
                }
            )
            assert snapshot.model(name) is not None
            assert known(snapshot, f"secret-{number}") is not None
            if number % 100 == 0:
                rows.catalog.tidy()

        for number in range(1000):
            edit(number)
        rows.catalog.tidy()
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(1000, 3000):
            edit(number)
        rows.catalog.tidy()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert len(pools) <= 20
        # Everything has been replaced once while it was traced: what is there now, and no more than that.
        assert grown < 400_000, grown
        await pools.close()

    asyncio.run(scenario())


@scene
async def test_trust_is_made_once_and_forgotten_with_its_key(rows: Rows) -> None:
    pem = trustme.CA().cert_pem.bytes().decode()
    made = rows.catalog._compiler

    def stage(tls: dict[str, Any] | None) -> Draft:
        key = {**KEY, "api_base": "https://one.example/v1", **({"tls": tls} if tls is not None else {})}
        draft = rows.catalog.stage(rows.revision + 1, "provider_keys", [("k", encoded("provider_keys", key))])
        draft.held = made.prepare(draft.trusts)
        draft.complete = True
        rows.revision += 1
        return draft

    rows.change({"models": {"1": model("a")}})
    draft = stage({"ca_cert": pem})
    assert draft.trusts == {"k": KeyTrust(pem, True)}
    context = draft.held["k"][1]
    found = rows.catalog.current().model("a")
    assert found is not None
    assert found.operations["embeddings"].pool._origin.tls is context
    del draft, found
    assert stage({"ca_cert": pem}).held["k"][1] is context
    assert stage(None).held == {}
    rows.catalog.tidy()
    assert len(made._contexts) <= 2
    assert not made._held


def test_trust_that_cannot_be_used_does_not_stop_a_change(tmp_path: Path) -> None:
    async def scenario() -> None:
        rows = Rows(compiler())
        key = {**KEY, "api_base": "https://one.example/v1", "tls": {"ca_cert": "no certificate"}}
        draft = rows.catalog.stage(1, "provider_keys", [("k", encoded("provider_keys", key))])
        draft.held = rows.catalog._compiler.prepare(draft.trusts)
        draft.complete = True
        rows.revision = 1
        rows.change({"models": {"1": model("a")}})
        found = rows.catalog.current().model("a")
        assert found is not None and found.operations

    asyncio.run(scenario())
