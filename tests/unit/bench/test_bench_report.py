"""Verdicts and the rendered report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.macro.budget import judge
from bench.macro.compare import spread
from bench.macro.procs import Process, cpu_seconds, memory_kib, tree
from bench.macro.scenarios import slope
from bench.report import render


def sample(ratio: float) -> dict[str, Any]:
    row = {"target": "fastgw", "workers": 1, "connections": 32, "ratio": ratio, "ratio_spread": 0.02, "cpu_us": 20.0}
    return {
        "when": "2026-01-01T00:00:00+00:00",
        "machine": {"cpu": "test"},
        "targets": {"fastgw": "1", "nginx": "1"},
        "skipped": {"litellm": "absent"},
        "method": {
            "rounds": 3,
            "seconds": 1.0,
            "generator": "wrk",
            "placement": "a",
            "placement_workers": "b",
            "memory": "pss",
        },
        "scenarios": {"chat": [row]},
    }


def verdict(report: dict[str, Any], scenario: str) -> bool:
    return next(one.kept for one in judge(report) if one.scenario == scenario)


def test_ratio_over_the_limit_is_no_pass() -> None:
    assert verdict(sample(1.99), "chat")
    assert not verdict(sample(2.01), "chat")


def test_missing_figure_is_no_pass() -> None:
    assert not verdict(sample(1.0), "sse")


def test_refused_gaps_are_no_pass() -> None:
    report = sample(1.0)
    stream = {"target": "fastgw", "streams": 10, "completed": 10, "cadence_ms": 20, "refused": "lag"}
    report["scenarios"]["streams"] = [{**stream, "kib_per_stream": 3.0}]
    gaps = [one for one in judge(report) if one.name.startswith("largest gap")]
    assert [one.kept for one in gaps] == [False]


def test_lost_stream_is_no_pass() -> None:
    report = sample(1.0)
    report["scenarios"]["streams"] = [{"target": "fastgw", "streams": 10, "completed": 9, "cadence_ms": 20}]
    assert not verdict(report, "streams")


def test_translated_streams_have_a_limit_each() -> None:
    report = sample(1.0)
    row = {"target": "fastgw", "dialect": "chat", "family": "anthropic", "pair": "chat from anthropic", "ratio": 4.1}
    report["scenarios"]["translated"] = [row, {**row, "pair": "chat from vertex", "ratio": 2.0}]
    found = {one.name: one.kept for one in judge(report) if one.scenario == "translated"}
    assert found == {
        "CPU per piece, chat from anthropic": False,
        "CPU per piece, messages from openai": False,
        "CPU per piece, chat from vertex": True,
    }
    assert "| chat | anthropic | **4.10** |" in render(report)


def test_report_shows_ratio_noise_and_what_is_missing() -> None:
    text = render(json.loads(json.dumps(sample(1.87))))
    assert "| fastgw | 32 | **1.87** | 2 % |" in text
    assert "not measured: litellm (absent)" in text


def test_slope_and_spread() -> None:
    assert slope([(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]) == 2.0
    assert spread([9.0, 10.0, 12.0]) == 0.3


def test_cpu_and_memory_of_a_tree(tmp_path: Path) -> None:
    """The parent only waits; the work is done by its child, and counts also after that has ended."""
    work = "import time\nwhile time.process_time() < 0.2: pass"
    code = f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {work!r}]); print('done', flush=True)"
    log = tmp_path / "log"
    process = Process([sys.executable, "-c", code + "; time.sleep(60)"], log)
    try:
        process.wait_until(lambda: b"done" in log.read_bytes(), "end of the child")
        assert 0.2 <= cpu_seconds(process.pid) < 5
        assert memory_kib(process.pid)[0] > 1000
        assert tree(process.pid) == [process.pid]
        assert process.pid in tree(os.getpid())
    finally:
        process.stop()
    assert cpu_seconds(process.pid) == 0


def test_stop_ends_the_whole_session(tmp_path: Path) -> None:
    """A child that ignores SIGTERM does not outlive the benchmark."""
    child = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    )
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}]).wait()"
    log = tmp_path / "log"
    process = Process([sys.executable, "-c", code], log)
    process.wait_until(lambda: b"up" in log.read_bytes(), "child")
    children = [pid for pid in tree(process.pid) if pid != process.pid]
    process.stop(grace=0.5)
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert children


def alive(pid: int) -> bool:
    """A zombie waiting for an absent init counts as ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return False
    return state != "Z"


def test_report_command(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(sample(1.5)))
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-m", "bench.report", str(path)], cwd=root, stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout.startswith("# Benchmark results\n")
