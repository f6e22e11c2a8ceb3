"""Processes from the outside: start pinned, count CPU and memory of a whole tree, stop.

CPU is utime + stime from /proc/<pid>/stat, in clock ticks (10 ms on Linux): a window should hold at least one CPU
second for a figure good to 1 %. cutime and cstime are included, so the time of a child that died is not lost.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import platform
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


class Failed(Exception):
    """A process did not start, or a measurement cannot be taken. The text is for the person at the terminal."""


class Process:
    """A running child in its own session, with its output in a file that error messages quote."""

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        cpus: frozenset[int] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        def pin() -> None:
            if cpus:
                os.sched_setaffinity(0, cpus)

        self.argv = list(argv)
        self.log = log
        with log.open("ab") as out:
            self.popen = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=pin,
                start_new_session=True,
                env={**os.environ, **(env or {})},
                cwd=cwd,
            )
        atexit.register(self.stop)

    @property
    def pid(self) -> int:
        return self.popen.pid

    def wait_until(self, ready: Callable[[], bool], what: str, seconds: float = 20.0) -> float:
        """Polls `ready` until it is true. Returns the seconds it took; raises Failed with the tail of the log."""
        begin = time.monotonic()
        while True:
            if ready():
                return time.monotonic() - begin
            if self.popen.poll() is not None:
                raise Failed(f"{self.argv[:4]} exited with {self.popen.returncode} before {what}:\n{self.tail()}")
            if time.monotonic() - begin > seconds:
                raise Failed(f"{self.argv[:4]}: no {what} after {seconds:.0f} s:\n{self.tail()}")
            time.sleep(0.01)

    def tail(self, size: int = 2000) -> str:
        return self.log.read_bytes()[-size:].decode(errors="replace")

    def stop(self, grace: float = 5.0) -> None:
        """SIGTERM, then SIGKILL for the whole session. Safe to call twice."""
        atexit.unregister(self.stop)
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(grace)
            except subprocess.TimeoutExpired:
                pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()


def tree(root: int) -> list[int]:
    """`root` and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = stat_fields(int(entry))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry))
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += children.get(pid, [])
    return found


def stat_fields(pid: int) -> list[str]:
    """Fields of /proc/<pid>/stat from the third on (state = 0, ppid = 1); empty when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    # The second field is the command in parentheses and may itself hold spaces and parentheses (proc(5)).
    return text[text.rindex(")") + 2 :].split()


def cpu_seconds(root: int) -> float:
    """User and system time of the tree since its start, reaped children included."""
    total = 0
    for pid in tree(root):
        fields = stat_fields(pid)
        if fields:
            total += sum(int(field) for field in fields[11:15])
    return total / TICK


def memory_kib(root: int) -> tuple[int, str]:
    """Memory of the tree, and `pss` (shared pages divided among their users), or `rss` where that is unreadable."""
    total = 0
    pids = tree(root)
    try:
        for pid in pids:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        return total, "pss"
    except OSError:
        total = 0
        for pid in pids:
            with contextlib.suppress(OSError):
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_KIB
        return total, "rss"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def raise_file_limit() -> int:
    """Thousands of sockets per process: soft limit of open files to the hard limit. Returns the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def machine() -> dict[str, str | int | float]:
    """The facts without which a figure means nothing."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = Path("/proc/meminfo").read_text().split()[1]
    return {
        "cpu": model,
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mib": int(memory) // 1024,
        "kernel": platform.release(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "executable": Path(sys.executable).name,
        "load_before": round(os.getloadavg()[0], 2),
    }
