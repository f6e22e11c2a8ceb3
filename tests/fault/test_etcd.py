"""A gateway that follows a real etcd: what serves, and whether the status page tells the truth, whatever happens."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.etcd import Etcd, Tls, documents, etcd, model_document, needs_etcd, source
from tests.support.faultproxy import FaultProxy, pass_until, reset, send, stall
from tests.support.gateway import Gateway, free_port, gateway
from tests.support.load import Reply, load
from tests.support.mock import Mock
from tests.support.observe import ask, chat_request, total, until

pytestmark = needs_etcd
SECONDS = 30.0
CHAT = "/fastgw/models/chat"
UNUSABLE = {"display_name": "fast-chat", "provider": "CANARY VALUE", "model_name": "m", "provider_key_id": "up"}


@pytest.fixture
def store(mock: Mock) -> Iterator[Etcd]:
    with etcd() as running:
        running.write(documents(mock.url))
        yield running


@contextlib.contextmanager
def following(store: Etcd | str, probe: str = "/readyz", **more: Any) -> Iterator[Gateway]:
    """A gateway on this etcd. Keys of `more`: `etcd` for its section, others as in the configuration."""
    url = store if isinstance(store, str) else store.url
    config = {**source(url, **more.pop("etcd", {})), **more}
    with gateway({}, config, probe=probe) as running:
        yield running


def answer(gw: Gateway, model: str = "fast-chat") -> str:
    """What the model says, or the status of a refusal."""
    reply = ask(gw, model)
    return str(json.loads(reply.body)["choices"][0]["message"]["content"]) if reply.status == 200 else str(reply.status)


def status(gw: Gateway, **wanted: Any) -> dict[str, Any]:
    """The status page, once these members of it have these values; `source__connected` is a member of a member."""

    def good(document: dict[str, Any]) -> bool:
        for path, value in wanted.items():
            found: Any = document
            for name in path.split("__"):
                found = found.get(name) if found is not None else None
            if found != value:
                return False
        return True

    return until(gw.status, good, SECONDS)


def digest(rows: dict[str, Any]) -> str:
    """The hash of documents by key, made from the rules and nothing else."""
    text = b""
    for key in sorted(rows, key=str.encode):
        value = rows[key]
        canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        text += key.encode() + b"\0" + (value if isinstance(value, bytes) else canonical) + b"\n"
    return hashlib.sha256(text).hexdigest()


def gauge(gw: Gateway, name: str, **labels: str) -> float:
    return total(gw.metrics(), f"fastgw_config_{name}", **labels)


def test_a_life_with_edits(store: Etcd, mock: Mock) -> None:
    rows = documents(mock.url)
    with following(store, proxy={"workers": 2}) as gw:
        assert answer(gw) == "hello"
        first = status(gw, state="synced")
        revision = first["source"]["observed_revision"]
        assert first["source"]["type"] == "etcd"
        assert first["source"]["connected"] is True
        assert first["source"]["source_hash"] == first["applied"]["config_hash"] == digest(rows)
        assert first["applied"]["applied_revision"] == revision
        assert first["applied"]["apply_seq"] == 1
        assert first["applied"]["resource_counts"] == {"api_keys": 1, "models": 1, "provider_keys": 1}
        assert first["last_reload"]["successful"] is True
        assert first["last_failure"] is None
        assert first["rejected"] == first["partially_compatible"] == []
        assert gw.get("/status/ready", port=gw.metrics_port) == (200, "ok")

        # One change: what a worker serves and what the page says.
        rows[CHAT] = model_document("fast-chat", "new") | {"zeta": 1, "alpha": {"b": 1}}
        put = store.put(CHAT, rows[CHAT])
        document = status(gw, source__observed_revision=put)
        assert {answer(gw) for _ in range(8)} == {"new"}
        assert document["state"] == "synced"
        assert document["applied"]["apply_seq"] == 2
        assert document["applied"]["config_hash"] == document["source"]["source_hash"] == digest(rows)
        assert document["partially_compatible"] == [
            {"resource_kind": "models", "field": "alpha", "count": 1},
            {"resource_kind": "models", "field": "zeta", "count": 1},
        ]
        assert gauge(gw, "partially_compatible_resources", kind="models") == 1
        assert gauge(gw, "applied_revision") == gauge(gw, "observed_revision") == put
        # Single changes are no reloads.
        assert gauge(gw, "reloads_total") == 1
        assert 'fastgw_config_reload_failures_total{reason="fetch"} 0' in gw.metrics()
        hashes = dict(re.findall(r'config_hash_info\{hash="(\w+)"\} (\d)', gw.metrics()))
        assert hashes == {first["applied"]["config_hash"]: "0", digest(rows): "1"}

        # Keys that are none, and kinds that nobody knows.
        store.put("/fastgw/models", b"{}")
        store.put("/fastgwx", b"{}")
        last = store.put("/fastgw/odd/thing", {"a": 1})
        document = status(gw, source__observed_revision=last, state="degraded")
        assert [
            (row["resource_kind"], row["resource_id"], row["last_error_kind"], row["last_error"])
            for row in document["rejected"]
        ][2:] == [("odd", "thing", "unknown_kind", 'unknown kind "odd"')]
        assert [row["last_error_kind"] for row in document["rejected"]] == ["bad_key", "bad_key", "unknown_kind"]
        assert gauge(gw, "rejected_resources", kind="odd") == 1
        for key in ("/fastgw/models", "/fastgwx", "/fastgw/odd/thing"):
            last = store.delete(key)
        document = status(gw, source__observed_revision=last, state="synced")
        assert document["applied"]["apply_seq"] == 2
        assert document["last_failure"]["last_error_kind"] == "unknown_kind"

        # A deletion, and a key that comes back.
        store.delete(CHAT)
        status(gw, applied__resource_counts={"api_keys": 1, "provider_keys": 1})
        assert answer(gw) == "404"
        store.put(CHAT, model_document("fast-chat", "back"))
        status(gw, applied__apply_seq=4)
        assert answer(gw) == "back"


def test_a_document_that_cannot_be_used(store: Etcd, mock: Mock, tmp_path: Path) -> None:
    rows = documents(mock.url)
    cache = tmp_path / "deep" / "cache.json"
    with following(store, managed={"snapshot_cache_path": str(cache)}) as gw:
        good = status(gw, state="synced")
        put = store.put(CHAT, UNUSABLE)
        document = status(gw, source__observed_revision=put)
        assert answer(gw) == "hello"
        assert document["state"] == "degraded"
        (row,) = document["rejected"]
        assert (row["resource_kind"], row["resource_id"]) == ("models", "chat")
        assert row["last_error_kind"] == "schema_failed"
        assert row["serving_stale_since"] == row["first_seen_at"]
        assert row["serving_stale_age_seconds"] <= SECONDS
        assert document["last_failure"]["last_error"] == row["last_error"]
        assert document["last_reload"]["successful"] is False
        # What serves has not changed; what etcd holds has.
        assert document["applied"]["config_hash"] == good["applied"]["config_hash"] == digest(rows)
        assert document["applied"]["apply_seq"] == 1
        assert document["source"]["source_hash"] == digest(rows | {CHAT: UNUSABLE})
        assert document["applied"]["resource_counts"]["models"] == 1
        assert gauge(gw, "last_reload_successful") == 0
        assert gauge(gw, "rejected_resources", kind="models") == 1
        assert gauge(gw, "stale_served_resources", kind="models") == 1
        assert "CANARY VALUE" not in json.dumps(document) + gw.log + gw.metrics()

        # A second gateway has never had anything to serve under that key.
        with following(store) as other:
            fresh = status(other, state="degraded")
            assert answer(other) == "404"
            assert "serving_stale_since" not in fresh["rejected"][0]
            assert fresh["applied"]["config_hash"] == digest({key: rows[key] for key in rows if key != CHAT})
            assert gauge(other, "reload_failures_total", reason="validate") == 1

        # A restart without etcd: the old document still serves, with its date.
        store.kill()
        assert gw.stop() == 0
        assert stat.S_IMODE(cache.stat().st_mode) == 0o600
        gw.start()
        document = status(gw, source__connected=False, last_failure__last_error_kind="fetch")
        assert answer(gw) == "hello"
        assert document["state"] == "degraded"
        assert document["rejected"][0]["serving_stale_since"] == row["serving_stale_since"]
        assert document["applied"]["config_hash"] == good["applied"]["config_hash"]
        assert document["applied"]["applied_revision"] == put

        # etcd comes back with the same: nothing changes but the connection.
        store.start()
        document = status(gw, source__connected=True)
        assert answer(gw) == "hello"
        assert document["rejected"][0]["serving_stale_since"] == row["serving_stale_since"]
        assert document["applied"]["apply_seq"] == 1

        store.put(CHAT, model_document("fast-chat", "mended"))
        document = status(gw, state="synced")
        assert answer(gw) == "mended"
        assert document["rejected"] == []
        assert gauge(gw, "last_reload_successful") == 1
        assert gauge(gw, "stale_served_resources", kind="models") == 0
        assert "fastgw_config_stale_served_resources" in gw.metrics()


def test_what_operators_see(store: Etcd) -> None:
    port = free_port()
    admin = {"enabled": True, "addr": f"127.0.0.1:{port}", "admin_keys": ["ops"]}

    def see(path: str) -> Any:
        code, body = gw.get(path, port=port, headers={"authorization": "Bearer ops"})
        return json.loads(body) if code == 200 else code

    store.put("/fastgw/api_keys/lost", {"key_hash": "0", "allowed_models": [], "jwt_provider": "nobody"})
    revision = store.put("/fastgw/models/b/c", model_document("one"))
    last = store.put("/fastgw/models/a", model_document("two"))
    with following(store, admin=admin) as gw:
        gw.wait_log("api_keys.jwt_provider names no OIDC provider that is defined (on 1)")
        models = see("/admin/v1/models")
        assert [(row["id"], row["revision"]) for row in models][:2] == [("a", last), ("b/c", revision)]
        assert [row["id"] for row in see("/admin/v1/models/status")] == ["a", "b/c", "chat"]
        assert see("/admin/v1/models/b%2Fc") == models[1]
        health = see("/admin/v1/health")
        assert health["status"] == "ok"
        assert health["config"] == {
            "snapshot_revision": last,
            "snapshot_age_seconds": health["config"]["snapshot_age_seconds"],
        }
        assert 0 <= health["config"]["snapshot_age_seconds"] <= SECONDS
        # A broken document is no document of the store, although an earlier one serves.
        put = store.put("/fastgw/models/a", UNUSABLE)
        status(gw, source__observed_revision=put)
        assert see("/admin/v1/models/a") == 404
        assert [row["id"] for row in see("/admin/v1/models")] == ["b/c", "chat"]
        assert [row["id"] for row in see("/admin/v1/models/status")] == ["a", "b/c", "chat"]
        again = store.put("/fastgw/models/a", model_document("two"))
        status(gw, source__observed_revision=again)
        assert see("/admin/v1/models/a")["revision"] == again
        store.kill()
        # What is served is still told, but not as what etcd holds.
        status(gw, source__connected=False)
        code, body = gw.get("/admin/v1/models", port=port, headers={"authorization": "Bearer ops"})
        assert (code, body) == (500, '{"error_msg":"store error: configuration source unreachable"}')
        assert see("/admin/v1/models/a") == 500
        assert [row["id"] for row in see("/admin/v1/models/status")] == ["a", "b/c", "chat"]
    with following(store, probe="/livez", admin=admin) as gw:
        assert see("/admin/v1/models") == 500
        assert see("/admin/v1/models/status") == []
        assert see("/admin/v1/health") == {
            "status": "degraded", "models": [], "config": {"snapshot_revision": 0, "snapshot_age_seconds": None}
        }  # fmt: skip
        assert gw.get("/readyz", port=port)[0] == 503


def test_boot_while_etcd_is_down(store: Etcd) -> None:
    store.stop()
    with following(store, probe="/livez") as gw:
        document = status(gw, last_failure__last_error_kind="fetch")
        assert document["state"] == "never_loaded"
        assert document["source"] == {"type": "etcd", "connected": False}
        assert document["last_reload"]["successful"] is False
        assert document["last_failure"]["last_error"] == "configuration source unreachable"
        assert "applied" not in document
        assert gw.get("/readyz")[0] == 503
        assert gw.get("/status/ready", port=gw.metrics_port) == (503, "no configuration available")
        assert answer(gw) == "401"
        assert gauge(gw, "source_connected") == 0
        assert gauge(gw, "reload_failures_total", reason="fetch") >= 1
        store.start()
        status(gw, state="synced", source__connected=True)
        assert gw.get("/readyz")[0] == 200
        assert answer(gw) == "hello"
        assert gauge(gw, "source_connected") == 1
        assert gw.stop() == 0


def test_an_empty_prefix_is_a_configuration(store: Etcd, mock: Mock) -> None:
    with following(store, etcd={"prefix": "/nobody", "env_id": "prod"}) as gw:
        document = status(gw, state="empty")
        assert document["applied"]["resource_counts"] == {}
        assert document["applied"]["config_hash"] == hashlib.sha256().hexdigest()
        store.write(documents(mock.url, "/nobody/prod"))
        store.put("/nobody/other/models/x", {})
        status(gw, applied__resource_counts={"api_keys": 1, "models": 1, "provider_keys": 1})
        assert gw.status()["rejected"] == []
        assert answer(gw) == "hello"
        assert total(gw.metrics(), "fastgw_request_e2e_latency_seconds_count", env_id="prod") == 1


def test_killed_compacted_and_restored_while_traffic_goes_on(store: Etcd) -> None:
    """Traffic never fails; at each step the page says what is the case."""
    with (
        FaultProxy(store.address) as proxy,
        following(f"http://127.0.0.1:{proxy.address[1]}", proxy={"workers": 2}) as gw,
        load(gw.port, 4, lambda: chat_request("fast-chat")) as running,
    ):
        status(gw, state="synced")
        store.kill()
        document = status(gw, source__connected=False)
        assert document["state"] == "synced"
        assert document["last_failure"]["last_error_kind"] == "fetch"
        assert document["last_reload"]["successful"] is False
        assert gw.get("/readyz")[0] == 200

        # While we are away: a change, and its history is thrown away.
        proxy.always(reset())
        store.start()
        store.put(CHAT, model_document("fast-chat", "away"))
        last = store.put("/elsewhere", {})
        store.compact(last)
        proxy.reset()
        document = status(gw, source__connected=True, source__observed_revision=last)
        assert document["last_reload"]["successful"] is True
        assert answer(gw) == "away"

        # A backup of now, then changes that the backup does not have.
        store.stop()
        store.back_up()
        store.start()
        for number in range(20):
            newest = store.put(CHAT, model_document("fast-chat", f"lost{number}"))
        status(gw, source__observed_revision=newest)
        assert answer(gw) == "lost19"
        store.kill()
        store.restore()
        store.start()
        document = status(gw, source__connected=True, source__observed_revision=last)
        assert document["applied"]["applied_revision"] == last
        assert answer(gw) == "away"
        # And what is written from now on is followed, although its revision has been there before.
        store.put(CHAT, model_document("fast-chat", "again"))
        status(gw, source__observed_revision=last + 1)
        assert answer(gw) == "again"
    assert running.failures == []
    assert running.answered > 100


def test_a_frozen_server(store: Etcd) -> None:
    limits = {"dial_timeout_ms": 500, "request_timeout_ms": 500}
    with following(store, etcd=limits) as gw, load(gw.port, 2, lambda: chat_request("fast-chat")) as running:
        status(gw, state="synced", source__connected=True)
        store.freeze()
        document = status(gw, source__connected=False)
        assert document["state"] == "synced"
        assert document["last_failure"]["last_error_kind"] == "fetch"
        store.thaw()
        status(gw, source__connected=True)
        put = store.put(CHAT, model_document("fast-chat", "thawed"))
        status(gw, source__observed_revision=put)
        assert answer(gw) == "thawed"
    assert running.failures == []


CREATED = pass_until(b'"created":true}}\n\r\n')
LOADED = pass_until(b'"count":"3"}')


@pytest.mark.parametrize(
    ("step", "failures"),
    [
        (reset(), 1),
        (send(b"5\r\n}{}{\n\r\n"), 1),
        (send(b'1b\r\n{"error":{"message":"oh"}}\n\r\n'), 1),
        (send(b"0\r\n\r\n"), 0),
        (send(b'3a\r\n{"result":{"canceled":true,"compact_revision":"1000000"}}\n\r\n'), 0),
    ],
)
def test_a_watch_that_is_cut(store: Etcd, step: Any, failures: int) -> None:
    with FaultProxy(store.address) as proxy:
        proxy.script(LOADED, CREATED, step, stall())
        with following(f"http://127.0.0.1:{proxy.address[1]}") as gw:
            # The second load comes without a failure where nothing has failed.
            until(lambda: gauge(gw, "reloads_total"), lambda count: count == 2 + failures, SECONDS)
            document = status(gw, source__connected=True)
            assert gauge(gw, "reload_failures_total", reason="fetch") == failures
            assert (document["last_failure"] is None) == (not failures)
            assert document["applied"]["apply_seq"] == 1
            put = store.put(CHAT, model_document("fast-chat", "after"))
            status(gw, source__observed_revision=put)
            assert answer(gw) == "after"


def test_a_load_that_stalls_is_given_up(store: Etcd) -> None:
    with FaultProxy(store.address) as proxy:
        proxy.script(stall())
        limits = {"dial_timeout_ms": 300, "request_timeout_ms": 300}
        with following(f"http://127.0.0.1:{proxy.address[1]}", etcd=limits) as gw:
            assert gauge(gw, "reload_failures_total", reason="fetch") == 1
            status(gw, state="synced")


def test_the_next_endpoint_is_used(store: Etcd) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    with following(store, etcd={"endpoints": [dead, store.url]}) as gw:
        document = status(gw, state="synced")
        # One endpoint that answers is enough.
        assert document["last_failure"] is None


def test_tls_and_a_login(mock: Mock) -> None:
    with etcd(tls=True) as store:
        assert store.tls is not None
        store.write(documents(mock.url))
        store.enable_auth("gateway", "a password", "/fastgw")
        section = {"tls": store.tls.section(domain_name="etcd.internal"), "user": "gateway", "password_env": "PW"}
        config = source(store.url, **section)
        with gateway({}, config, {"PW": "a password"}) as gw:
            assert answer(gw) == "hello"
            store.put(CHAT, model_document("fast-chat", "changed"))
            status(gw, applied__apply_seq=2)
            assert answer(gw) == "changed"
            assert "a password" not in gw.log
        with gateway({}, config, {"PW": "wrong"}, probe="/livez") as gw:
            status(gw, last_failure__last_error_kind="fetch", state="never_loaded")


def test_what_stops_the_start(store: Etcd, tmp_path: Path) -> None:
    tls = Tls(tmp_path).section(ca_cert_file=str(tmp_path / "gone"))
    for section, expected in [
        ({"endpoints": ["127.0.0.1:2379"]}, "etcd.endpoints[0] must have the form http(s)://host:port"),
        ({"user": "u", "password_env": "NO_SUCH"}, "environment variable NO_SUCH is unset or empty"),
        ({"tls": tls}, f"etcd.tls.ca_cert_file {tmp_path / 'gone'}: No such file or directory"),
    ]:
        with pytest.raises(AssertionError) as caught, following(store, etcd=section):
            pass
        assert f"Error: config load failed: failed to load configuration: etcd.{expected}"[:60] in str(caught.value)
        assert expected in str(caught.value)


def test_sighup_is_ignored(store: Etcd) -> None:
    with following(store) as gw:
        status(gw, state="synced")
        assert gw.process is not None
        gw.process.send_signal(signal.SIGHUP)
        gw.wait_log("SIGHUP is ignored")
        assert gauge(gw, "reloads_total") == 1
        assert answer(gw) == "hello"


@pytest.mark.parametrize("content", [b"{", b'{"version":9,"revision":1,"entries":[]}'])
def test_a_cache_that_cannot_be_read_is_ignored(store: Etcd, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cache.json"
    path.write_bytes(content)
    store.kill()
    with following(store, probe="/livez", managed={"snapshot_cache_path": str(path)}) as gw:
        status(gw, state="never_loaded")
        gw.wait_log("the configuration cache is ignored")
        assert gw.stop() == 0
    # Nothing was loaded, so there was nothing to write.
    assert path.read_bytes() == content


def test_restarts_under_load(store: Etcd) -> None:
    """A caller that waits to be accepted is not refused because etcd has not been read yet."""
    with following(store, proxy={"workers": 2}) as gw:
        for _ in range(5):
            with load(gw.port, 4, lambda: chat_request("fast-chat")) as running:
                until(lambda: running.answered, lambda count: count > 20)
                assert gw.stop() == 0
                gw.start()
                until(lambda: running.answered, lambda count: count > 60)
            assert running.failures == []
            assert set(running.statuses) == {200}


def test_edits_under_load(store: Etcd, tmp_path: Path) -> None:
    """No request fails, none sees an older state than one before it, and the last state is soon everywhere."""
    seen = 0
    edits, rate = 300, 60.0

    def check(reply: Reply) -> str | None:
        nonlocal seen
        if reply.status != 200:
            return f"{reply.status}: {reply.body[:200]!r}"
        (found,) = re.findall(r'"content":"r(\d+)\."', reply.body.decode())
        floor = int(reply.headers["x-fastgw-request-id"].removeprefix("floor-"))
        if int(found) < floor:
            return f"revision {found} after {floor}"
        seen = max(seen, int(found))
        return None

    def make() -> bytes:
        # The floor travels as the caller's own request id and comes back with the answer.
        body = chat_request("fast-chat")
        return body.replace(b"host: gateway\r\n", b"host: gateway\r\nx-fastgw-request-id: floor-%d\r\n" % seen)

    store.put(CHAT, model_document("fast-chat", "r0."))
    cache = tmp_path / "cache.json"
    with following(store, proxy={"workers": 2}, managed={"snapshot_cache_path": str(cache)}) as gw:
        with load(gw.port, 4, make, check) as running:
            began = time.monotonic()
            for number in range(1, edits + 1):
                last = store.put(CHAT, model_document("fast-chat", f"r{number}."))
                time.sleep(max(0.0, began + number / rate - time.monotonic()))
            status(gw, source__observed_revision=last)
            assert {answer(gw) for _ in range(8)} == {f"r{edits}."}
        assert running.failures == []
        assert running.answered > 100
        document = gw.status()
        assert document["applied"]["apply_seq"] == edits + 1
        assert document["last_failure"] is None
        assert gw.stop() == 0
    cached = json.loads(cache.read_bytes())
    assert cached["revision"] == last
    assert not list(tmp_path.glob("*.tmp"))
