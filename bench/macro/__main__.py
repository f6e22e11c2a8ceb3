"""python -m bench.macro: starts mock upstream, nginx, fastgw and installed peers, drives all alike, writes JSON."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from bench.macro import procs
from bench.macro.budget import PRODUCT, judge
from bench.macro.compare import YARDSTICK, Effort
from bench.macro.load import wrk_available
from bench.macro.placement import pinned
from bench.macro.scenarios import SCENARIOS
from bench.macro.targets import running
from bench.peers import PEERS, Peer

OUT = Path(__file__).parents[1] / "out"
QUICK = ("chat", "sse", "bodies", "workers", "latency")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.macro", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help=f"under a minute: {', '.join(QUICK)}, few sizes, 1 s rounds"
    )
    parser.add_argument("--only", default="", help=f"comma-separated scenarios of: {', '.join(SCENARIOS)}")
    parser.add_argument("--targets", default="", help="comma-separated; default: every one that is installed")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (default 3)")
    parser.add_argument("--seconds", type=float, help="length of one round (default 4, quick 1)")
    parser.add_argument("--no-wrk", action="store_true", help="use the own closed-loop generator")
    parser.add_argument(
        "--check", action="store_true", help="exit 1 when a budget is exceeded or fastgw was not measured"
    )
    parser.add_argument("--out", type=Path, help="JSON file (default bench/out/<date>.json)")
    options = parser.parse_args()
    options.scenarios = options.only.split(",") if options.only else list(QUICK if options.quick else SCENARIOS)
    unknown = set(options.scenarios) - set(SCENARIOS)
    if unknown:
        parser.error(f"unknown scenario: {', '.join(sorted(unknown))}")
    names = {kind.name for kind in PEERS}
    options.targets = options.targets.split(",") if options.targets else sorted(names)
    if set(options.targets) - names:
        parser.error(f"unknown target: {', '.join(sorted(set(options.targets) - names))}")
    return options


def choose(wanted: list[str]) -> tuple[list[type[Peer]], dict[str, str]]:
    """Adapters to run, and why the others do not. A peer that does not answer is left out."""
    missing = {kind.name: kind.available() if kind.name in wanted else "not asked for" for kind in PEERS}
    for kind in PEERS:
        if not missing[kind.name] and kind.name not in (YARDSTICK, PRODUCT):
            try:
                with running([kind], pinned(1)):
                    pass
            except procs.Failed as error:
                print(error, file=sys.stderr)
                missing[kind.name] = "installed, but does not answer"
    return [kind for kind in PEERS if not missing[kind.name]], {name: why for name, why in missing.items() if why}


def main() -> int:
    options = arguments()
    procs.raise_file_limit()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends through the clean-up that stops all servers
    kinds, skipped = choose(options.targets)
    if not kinds:
        print("nothing to measure:", skipped, file=sys.stderr)
        return 2
    effort = Effort(
        rounds=options.rounds or 3,
        seconds=options.seconds or (1.0 if options.quick else 4.0),
        use_wrk=wrk_available() and not options.no_wrk,
        quick=options.quick,
    )
    report: dict[str, Any] = {
        "format": 1,
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": procs.machine(),
        "targets": {kind.name: kind().version() for kind in kinds},
        "skipped": skipped,
        "method": {
            "rounds": effort.rounds,
            "seconds": effort.seconds,
            "quick": effort.quick,
            "generator": "wrk" if effort.use_wrk else "closedloop",
            "yardstick": YARDSTICK,
            "placement": pinned(1).text,
            "placement_workers": pinned(2).text,
            "memory": procs.memory_kib(os.getpid())[1],
        },
        "scenarios": {},
    }
    status = 0
    for name in options.scenarios:
        begin = time.monotonic()
        try:
            rows = SCENARIOS[name](kinds, effort)
        except procs.Failed as error:
            print(f"{name}: {error}", file=sys.stderr)
            status = 1
            continue
        report["scenarios"][name] = rows
        print(f"{name} ({time.monotonic() - begin:.0f} s)")
        for row in rows:
            print("  " + short(row))
    path = options.out or OUT / f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d-%H%M%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(path)
    return max(status, check(report)) if options.check else status


def short(row: dict[str, object]) -> str:
    return "  ".join(f"{key}={value}" for key, value in row.items() if not isinstance(value, list | dict))


def check(report: dict[str, Any]) -> int:
    """Prints every verdict. 1 when a budget is exceeded, a scenario gave no figure, or no product ran."""
    status = 0
    for one in judge(report):
        if one.scenario not in report["scenarios"]:
            continue
        word = "ok" if one.kept else "OVER"
        value = "no figure" if one.value is None else f"{one.value:.2f} {one.unit}"
        print(f"{word:4} {one.name}: {value} (limit {one.limit:.2f})")
        status |= not one.kept
    if PRODUCT not in report["targets"]:
        print(f"OVER {PRODUCT} was not measured")
        status = 1
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
