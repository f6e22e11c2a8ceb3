"""Reloads, dying workers, drain and restart of the real process."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import fastgw
from fastgw.state.board import Board
from tests.support.gateway import PATIENCE, Gateway, boot_config, gateway, resources
from tests.support.load import Load, Reply, load, only_200
from tests.support.mock import Mock
from tests.support.observe import ask, board, chat_request, total, until
from tests.support.wire import Wire


@contextlib.contextmanager
def opened(gw: Gateway, workers: int) -> Iterator[Board]:
    shared = board(gw, workers)
    try:
        yield shared
    finally:
        shared.close()


def revision_document(mock: Mock, number: int) -> dict[str, Any]:
    """Revision `number`: the alias `fast-chat` answers with its number, `rev-<number>` exists, `rev-<number-1>` does
    not any more."""
    document = resources(mock.url)
    (model,) = document["models"]
    model["model_name"] = f"mock-gpt?content=r{number}."
    document["models"].append({**model, "display_name": f"rev-{number}"})
    return document


class Revisions:
    """Checks that the revision in an answer is never older than one seen before the request was sent."""

    def __init__(self) -> None:
        self.seen = 0
        self._started: dict[int, int] = {}

    def make(self) -> bytes:
        # The floor travels as the caller's own request id and comes back with the answer.
        body = chat_request("fast-chat")
        return body.replace(b"host: gateway\r\n", b"host: gateway\r\nx-fastgw-request-id: floor-%d\r\n" % self.seen)

    def check(self, reply: Reply) -> str | None:
        if reply.status != 200:
            return f"{reply.status}: {reply.body[:200]!r}"
        found = re.findall(r'"content":"r(\d+)\."', reply.body.decode())
        floor = int(reply.headers["x-fastgw-request-id"].removeprefix("floor-"))
        if len(found) != 1 or int(found[0]) < floor:
            return f"revision {found} after {floor}"
        self.seen = max(self.seen, int(found[0]))
        return None


def generation(gw: Gateway) -> int:
    applied: dict[str, int] = gw.status()["applied"]
    return applied["apply_seq"]


def test_a_hundred_reloads_under_load(mock: Mock) -> None:
    revisions = Revisions()
    with gateway(revision_document(mock, 0), {"proxy": {"workers": 2}}) as gw:
        with load(gw.port, 6, revisions.make, revisions.check) as running:
            for number in range(1, 101):
                gw.write_resources(revision_document(mock, number))
                gw.reload()
                # Until one connection has seen the new alias; from then on every other one must, whatever its worker.
                until(lambda n=number: ask(gw, f"rev-{n}").status, lambda status: status == 200)  # type: ignore[misc]
                for _ in range(4):
                    assert ask(gw, f"rev-{number}").status == 200
                    assert ask(gw, f"rev-{number - 1}").status == 404
        assert running.failures == []
        assert running.answered > 500
        assert revisions.seen == 100
        assert generation(gw) == 101
        assert total(gw.metrics(), "fastgw_config_reloads_total") == 101
        assert len(gw.workers()) == 2


def test_an_invalid_file_leaves_the_old_configuration_serving(mock: Mock) -> None:
    with gateway(resources(mock.url), {"proxy": {"workers": 2}}) as gw:
        applied = gw.status()["applied"]
        with load(gw.port, 4, lambda: chat_request("fast-chat")) as running:
            broken = resources(mock.url)
            broken["models"][0]["provider_key"] = "nobody"
            gw.write_resources(broken)
            gw.reload()
            status = until(gw.status, lambda status: status["state"] == "out_of_sync")
            assert status["applied"] == applied
            assert status["source"]["source_hash"] != applied["config_hash"]
            assert status["last_reload"]["successful"] is False
            assert status["last_failure"]["last_error_kind"] == "schema_failed"
            (rejected,) = status["rejected"]
            assert (rejected["resource_kind"], rejected["resource_id"]) == ("models", "fast-chat")
            assert 'references unknown provider key "nobody"' in rejected["last_error"]
            log = until(lambda: gw.log, lambda log: "reload failed" in log)
            warning = next(line for line in log.splitlines() if "reload failed" in line)
            assert " WARN " in warning
            assert "resources file reload failed — keeping the previous snapshot: resources file" in warning
            assert 'references unknown provider key "nobody"' in log
            metrics = gw.metrics()
            assert total(metrics, "fastgw_config_last_reload_successful") == 0
            assert total(metrics, "fastgw_config_reload_failures_total", reason="validate") == 1
            assert total(metrics, "fastgw_config_rejected_resources", kind="models") == 1

            gw.write_resources("models: [")
            gw.reload()
            until(gw.metrics, lambda text: total(text, "fastgw_config_reload_failures_total", reason="parse") == 1)
            assert gw.status()["rejected"][0]["last_error_kind"] == "non_json"

            (gw.directory / "resources.yaml").unlink()
            gw.reload()
            until(gw.metrics, lambda text: total(text, "fastgw_config_reload_failures_total", reason="fetch") == 1)
            assert gw.status()["last_failure"]["last_error"] == "configuration source unreachable"
            assert gw.status()["state"] == "out_of_sync"

            gw.write_resources(resources(mock.url))
            gw.reload()
            status = until(gw.status, lambda status: status["state"] == "synced")
            assert status["rejected"] == []
            assert status["applied"]["config_hash"] == applied["config_hash"]
            assert status["applied"]["apply_seq"] == applied["apply_seq"]
            metrics = gw.metrics()
            assert total(metrics, "fastgw_config_last_reload_successful") == 1
            assert total(metrics, "fastgw_config_rejected_resources", kind="models") == 0
        assert running.failures == []


def test_hangups_that_arrive_while_a_reload_runs_cause_one_more(mock: Mock) -> None:
    with gateway(revision_document(mock, 0)) as gw:
        for number in range(1, 21):
            gw.write_resources(revision_document(mock, number))
            gw.reload()
        until(lambda: ask(gw, "rev-20").status, lambda status: status == 200)
        assert ask(gw, "rev-19").status == 404


def test_a_hangup_during_boot_is_neither_lost_nor_deadly(mock: Mock) -> None:
    with gateway(revision_document(mock, 0)) as gw:
        gw.stop()
        gw.write_resources(revision_document(mock, 0))
        starter = threading.Thread(target=gw.start)
        before = gw.process
        starter.start()
        # As early as a signal can have a meaning: the port is bound.
        until(lambda: gw.process is not before and not refused(gw.port), bool)
        gw.write_resources(revision_document(mock, 1))
        gw.reload()
        starter.join()
        until(lambda: ask(gw, "rev-1").status, lambda status: status == 200)


@pytest.mark.parametrize("after", [0.0, 0.03, 0.06, 0.1, 0.2])
def test_a_hangup_at_any_moment_of_boot_is_survived(mock: Mock, after: float) -> None:
    with gateway(resources(mock.url)) as gw:
        gw.stop()
        gw.process = None
        starter = threading.Thread(target=gw.start)
        starter.start()
        process = until(lambda: gw.process, lambda process: process is not None)
        assert process is not None
        # From its first own statement on; the interpreter's start is nobody's.
        until(lambda: handles_hangup(process.pid), bool)
        time.sleep(after)
        process.send_signal(signal.SIGHUP)
        starter.join()
        assert ask(gw, "fast-chat").status == 200


def handles_hangup(pid: int) -> bool:
    """SIGHUP is ignored or caught."""
    masks = re.findall(r"^Sig(?:Ign|Cgt):\t(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return any(int(mask, 16) >> (signal.SIGHUP - 1) & 1 for mask in masks)


def worker_index(pid: int) -> int:
    """Which worker a process is: the first argument of its module."""
    return int(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"fastgw.runtime.worker\0")[1].split(b"\0")[0])


def alive(pid: int) -> bool:
    """It runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pids: list[int]) -> None:
    """Wait until none of the processes runs."""
    until(lambda: [pid for pid in pids if alive(pid)], lambda left: not left)


def refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_killed_worker_costs_only_what_it_was_doing(mock: Mock) -> None:
    with gateway(resources(mock.url), {"proxy": {"workers": 3}}) as gw, opened(gw, 3) as shared:
        with load(gw.port, 12, lambda: chat_request("fast-chat", latency_ms=5)) as running:
            for _ in range(3):
                until(lambda: running.answered, lambda count, more=running.answered + 300: count > more)  # type: ignore[misc]
                victim, *others = gw.workers()
                before = len(running.failures)
                # Keep-alive connections stay with their worker: these, and no others, can lose an answer.
                exposed = shared.connections_of(worker_index(victim))
                os.kill(victim, signal.SIGKILL)
                died = time.monotonic()
                until(gw.workers, lambda pids, victim=victim: len(pids) == 3 and victim not in pids)  # type: ignore[misc]
                # The newcomer serves: it takes new connections, because it has the fewest.
                with contextlib.ExitStack() as held:
                    while min(shared.connections_of(n) for n in range(3)) == 0:
                        held.enter_context(socket.create_connection(("127.0.0.1", gw.port)))
                        assert time.monotonic() - died < PATIENCE
                        time.sleep(0.01)
                assert set(others) <= set(gw.workers())
                assert len(running.failures) - before <= exposed
            assert running.refused == 0
        assert running.failures
        assert running.statuses.keys() == {200}
        until(shared.in_flight, lambda count: count == 0)
        until(shared.connections, lambda count: count == 0)
        counted = total(gw.metrics(), "fastgw_requests_total", status="200")
        # An answer whose worker died between counting it and sending it is counted and was not received.
        assert running.answered <= counted <= running.answered + len(running.failures)
        until(lambda: gw.log.count("worker ended unexpectedly"), lambda count: count == 3)


def test_a_killed_worker_is_back_within_a_second(mock: Mock) -> None:
    with gateway(resources(mock.url), {"proxy": {"workers": 1}}) as gw:
        assert ask(gw, "fast-chat").status == 200
        (victim,) = gw.workers()
        os.kill(victim, signal.SIGKILL)
        died = time.monotonic()
        # The port never refuses: the connection waits in the shared queue for the successor.
        assert ask(gw, "fast-chat").status == 200
        assert time.monotonic() - died < PATIENCE
        assert total(gw.metrics(), "fastgw_requests_total", status="200") == 2


HANGS = """
import os, sys
import fastgw.runtime.process as process
import fastgw.runtime.supervisor as supervisor
from fastgw.cli.main import main

FLAG = {flag!r}
usual = process.interpreter

def interpreter():
    # A shell that becomes the worker, or stops before it does.
    return ["sh", "-c", 'kill -STOP $$; exec "$0" "$@"', *usual()] if os.path.exists(FLAG) else usual()

process.interpreter = interpreter
supervisor.JOIN_SECONDS = 3.0
main()
"""


def test_a_worker_that_hangs_before_it_serves_is_replaced(mock: Mock, tmp_path: Path) -> None:
    flag = tmp_path / "hang"
    with gateway(resources(mock.url), {"proxy": {"workers": 1}}) as gw:
        gw.stop()
        gw.program = ["-c", HANGS.format(flag=str(flag))]
        gw.start()
        (victim,) = gw.workers()
        flag.touch()
        os.kill(victim, signal.SIGKILL)
        gw.wait_log("worker did not get ready in time", 30)
        flag.unlink()
        assert ask(gw, "fast-chat", timeout=30).status == 200
        assert gw.stop() == 0


def test_a_worker_that_dies_while_a_reload_waits_for_it(mock: Mock) -> None:
    with gateway(revision_document(mock, 0), {"proxy": {"workers": 2}}) as gw:
        victim = gw.workers()[0]
        os.kill(victim, signal.SIGSTOP)
        gw.write_resources(revision_document(mock, 1))
        gw.reload()
        # The other worker holds the revision ready and must not serve it while one could serve the old one.
        time.sleep(0.3)
        assert generation(gw) == 1
        os.kill(victim, signal.SIGKILL)
        until(lambda: generation(gw), lambda number: number == 2)
        until(gw.workers, lambda pids: len(pids) == 2 and victim not in pids)
        assert {ask(gw, "rev-1").status for _ in range(20)} == {200}


def test_nothing_is_left_of_a_killed_supervisor(mock: Mock) -> None:
    with gateway(resources(mock.url), {"proxy": {"workers": 2}}) as gw:
        workers = gw.workers()
        assert gw.process is not None
        gw.process.kill()
        gw.process.wait()
        gone(workers)
        # A process counts as ended while its last threads still hold its descriptors.
        until(lambda: refused(gw.port), bool)
        with socket.socket() as taker:
            taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taker.bind(("127.0.0.1", gw.port))


def descendants(pid: int) -> list[int]:
    """Children of a process, and theirs."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in task.read_text().split()]
    return found + [further for child in found for further in descendants(child)]


def with_children(pid: int, count: int) -> list[int]:
    """The children of a process, once it has so many."""
    return until(lambda: descendants(pid), lambda found: len(found) >= count)


def test_nothing_is_left_of_a_supervisor_that_is_killed_while_it_starts(mock: Mock, tmp_path: Path) -> None:
    """Killed at moments spread over a start: before there are workers, while they start, after they serve."""
    config = boot_config(tmp_path, workers=3)
    port = int(config["proxy"]["addr"].rpartition(":")[2])
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "resources.yaml").write_text(json.dumps(resources(mock.url)))
    command = [sys.executable, "-m", "fastgw", "--config", str(tmp_path / "config.yaml")]
    with_workers = 0
    for wanted in (0, 1, 2, 3, 3):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        try:
            workers = with_children(process.pid, wanted)
        finally:
            process.kill()
            process.wait()
        with_workers += bool(workers)
        gone(workers)
        until(lambda: refused(port), bool)
    assert with_workers >= 4


def test_nothing_is_left_of_a_supervisor_that_is_killed_while_it_drains(mock: Mock) -> None:
    config = {"proxy": {"workers": 2}, "shutdown": {"min_drain_secs": 60}}
    with gateway(resources(mock.url), config) as gw, Wire(("127.0.0.1", gw.port)) as running:
        running.send(chat_request("fast-chat", stream=True, tokens=500, cadence_ms=50))
        mock.wait(lambda stats: stats["open_streams"] >= 1)
        workers = gw.workers()
        assert gw.process is not None
        gw.process.terminate()
        until(lambda: gw.get("/livez")[0], lambda status: status == 503)
        gw.process.kill()
        gw.process.wait()
        gone(workers)
        until(lambda: refused(gw.port), bool)
        assert running.answer().end != "complete"
        mock.wait(lambda stats: stats["open_streams"] == 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_during_the_start_is_orderly(mock: Mock, tmp_path: Path, number: signal.Signals) -> None:
    config = {**boot_config(tmp_path, workers=2), "shutdown": {"min_drain_secs": 0}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "resources.yaml").write_text(json.dumps(resources(mock.url)))
    command = [sys.executable, "-m", "fastgw", "--config", str(tmp_path / "config.yaml")]
    for wanted in (0, 1, 2):
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
            if wanted:
                with_children(process.pid, wanted)
            else:
                handles_stop(process.pid)
            process.send_signal(number)
            process.send_signal(number)
            _, stderr = process.communicate(timeout=20)
        assert process.returncode == 0, stderr
        assert "Traceback" not in stderr
        assert "Error" not in stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_whole_group_is_for_the_supervisor(mock: Mock, tmp_path: Path, number: signal.Signals) -> None:
    """A terminal and a service manager send it to the workers too, which may have begun to start a moment ago."""
    config = {**boot_config(tmp_path, workers=2), "shutdown": {"min_drain_secs": 0}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "resources.yaml").write_text(json.dumps(resources(mock.url)))
    command = [sys.executable, "-m", "fastgw", "--config", str(tmp_path / "config.yaml")]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, start_new_session=True
    ) as process:
        with_children(process.pid, 2)
        os.killpg(process.pid, number)
        process.terminate()
        _, stderr = process.communicate(timeout=20)
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr
    assert "Error" not in stderr


def test_modules_in_the_working_directory_are_not_imported(mock: Mock, tmp_path: Path) -> None:
    config = {**boot_config(tmp_path, workers=1), "shutdown": {"min_drain_secs": 0}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "resources.yaml").write_text(json.dumps(resources(mock.url)))
    for name in ("uvloop", "secrets", "msgspec"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('from the working directory')\n")
    # As the installed command does, whose own directory comes first.
    scripts = tmp_path / "bin"
    scripts.mkdir()
    (scripts / "command.py").write_text("from fastgw.cli.main import main\n\nmain()\n")
    command = [sys.executable, str(scripts / "command.py"), "--config", str(tmp_path / "config.yaml")]
    environ = {**os.environ, "PYTHONPATH": str(Path(fastgw.__file__).absolute().parents[1])}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, cwd=tmp_path, env=environ
    ) as process:
        with_children(process.pid, 1)
        process.terminate()
        _, stderr = process.communicate(timeout=20)
    assert process.returncode == 0, stderr


def handles_stop(pid: int) -> None:
    """Wait until the process has a handler for SIGTERM: before that it is Python that starts."""

    def caught() -> int:
        (signals,) = re.findall(r"SigCgt:\t(\w+)", Path(f"/proc/{pid}/status").read_text())
        return int(signals, 16) >> (signal.SIGTERM - 1) & 1

    until(caught, bool)


# -- drain


def test_an_idle_gateway_without_a_window_is_gone_at_once(mock: Mock) -> None:
    with gateway(resources(mock.url)) as gw, Wire(("127.0.0.1", gw.port)) as idle:
        idle.send(chat_request("fast-chat"))
        assert idle.answer().status == 200
        began = time.monotonic()
        assert gw.stop() == 0
        assert time.monotonic() - began < 5
        assert idle.closed() == "eof"
        assert "drain complete — closing listeners" in gw.log
        assert refused(gw.port)


def test_drain(mock: Mock) -> None:
    config = {"proxy": {"workers": 2}, "shutdown": {"min_drain_secs": 1}}
    with gateway(resources(mock.url), config) as gw, Wire(("127.0.0.1", gw.port)) as running:
        sent = time.monotonic()
        running.send(chat_request("fast-chat", stream=True, tokens=60, cadence_ms=50))
        with Wire(("127.0.0.1", gw.port)) as early:
            # Time enough for all that has to come before its answer.
            early.send(chat_request("fast-chat", latency_ms=1500))
            mock.wait(lambda stats: stats["open_streams"] >= 1)
            assert gw.process is not None
            gw.process.terminate()
            began = time.monotonic()
            _, body = until(lambda: gw.get("/readyz"), lambda answer: answer[0] == 503)
            assert body == "[-]shutdown failed: draining\n[+]config ok\nreadyz check failed"
            assert gw.get("/livez")[0] == 503
            assert gw.get("/status/ready", port=gw.metrics_port)[0] == 200
            gw.process.terminate()
            gw.process.send_signal(signal.SIGINT)
            assert ask(gw, "fast-chat").headers["connection"] == "close"
            # A request from before the signal whose head comes after it.
            answer = early.answer()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
        # New connections were served during the window and are, because a stream runs, after it.
        while time.monotonic() - began < 2:
            answer = ask(gw, "fast-chat")
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert ask(gw, "fast-chat", stream=True).headers["connection"] == "close"
        whole = running.answer()
        assert whole.end == "complete"
        assert whole.body.endswith(b"data: [DONE]\n\n")
        assert len(whole.payloads()) > 60
        assert gw.process.wait(PATIENCE) == 0
        assert time.monotonic() - sent > 2.9
        assert gw.log.count("shutdown requested") == 1
        assert "Traceback" not in gw.log


def test_an_answer_that_is_still_being_read_is_not_cut(mock: Mock) -> None:
    with gateway(resources(mock.url)) as gw, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", gw.port))
        slow.sendall(chat_request("fast-chat", answer_bytes=3_000_000))
        until(lambda: total(gw.metrics(), "fastgw_requests_total", status="200"), lambda count: count == 1)
        assert gw.process is not None
        gw.process.terminate()
        until(lambda: gw.log, lambda log: "drain complete" in log)
        # What is left keeps nobody waiting: new connections are refused, a successor could bind.
        until(lambda: refused(gw.port), bool)
        received = b""
        slow.settimeout(PATIENCE)
        while data := slow.recv(65536):
            received += data
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(re.findall(rb"content-length: (\d+)", head)[0])
        assert len(body) == length > 3_000_000
        assert gw.process.wait(PATIENCE) == 0


def test_a_reload_during_drain_does_no_harm(mock: Mock) -> None:
    with gateway(revision_document(mock, 0)) as gw, Wire(("127.0.0.1", gw.port)) as running:
        # The drain lasts until this stream ends.
        running.send(chat_request("fast-chat", stream=True, tokens=5000, cadence_ms=50))
        mock.wait(lambda stats: stats["open_streams"] >= 1)
        assert gw.process is not None
        gw.process.terminate()
        until(lambda: gw.get("/readyz")[0], lambda status: status == 503)
        gw.write_resources(revision_document(mock, 1))
        gw.reload()
        until(lambda: ask(gw, "rev-1").status, lambda status: status == 200)
        running.socket.close()
        mock.wait(lambda stats: stats["open_streams"] == 0)
        assert gw.process.wait(PATIENCE) == 0
        assert "Traceback" not in gw.log


def whole(reply: Reply) -> str | None:
    """A 200 whose stream, if it is one, has come to its end."""
    if reply.status == 200 and reply.headers["content-type"] == "text/event-stream":
        return None if reply.body.endswith(b"data: [DONE]\n\n") else f"cut: {reply.body[-200:]!r}"
    return only_200(reply)


def restarts(mock: Mock, count: int, drain: int) -> Load:
    """Restart a gateway under whole answers and streams, of which some outlast the drain window.

    A drain lasts until nothing is in flight, so during one only small requests arrive: the rest of the deployment has
    seen that the gateway is unready.
    """
    small = chat_request("fast-chat")
    turns = itertools.cycle(
        [
            small,
            chat_request("fast-chat", stream=True, tokens=20),
            chat_request("fast-chat", latency_ms=200),
            chat_request("fast-chat", stream=True, tokens=10 * (drain + 1), cadence_ms=100),
        ]
    )
    draining = threading.Event()
    config = {"proxy": {"workers": 2}, "shutdown": {"min_drain_secs": drain}}
    with gateway(resources(mock.url), config) as gw:
        with load(gw.port, 8, lambda: small if draining.is_set() else next(turns), whole) as running:
            for _ in range(count):
                until(lambda: running.answered, lambda found, more=running.answered + 30: found > more, 20)  # type: ignore[misc]
                draining.set()
                assert gw.stop(60) == 0
                draining.clear()
                gw.start()
        return running


def test_five_restarts_without_a_failed_request(mock: Mock) -> None:
    running = restarts(mock, 5, 1)
    assert running.failures == []
    assert running.statuses.keys() == {200}
