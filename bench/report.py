"""python -m bench.report FILE.json > bench/RESULTS.md: the Markdown of one run, ratios first."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.macro.budget import judge

Row = dict[str, Any]
Column = tuple[str, Callable[[Row], str]]
LESS = "-"


def number(name: str, digits: int = 1, scale: float = 1.0) -> Callable[[Row], str]:
    return lambda row: LESS if row.get(name) is None else f"{row[name] * scale:,.{digits}f}"


def nested(name: str, key: str, digits: int = 2) -> Callable[[Row], str]:
    return lambda row: f"{row[name][key]:,.{digits}f}" if row.get(name) else LESS


def text(name: str) -> Callable[[Row], str]:
    return lambda row: str(row.get(name, LESS))


def ratio(row: Row) -> str:
    return f"**{row['ratio']:.2f}**" if "ratio" in row else LESS


def noise(name: str = "spread") -> Callable[[Row], str]:
    return lambda row: f"{row[name] * 100:.0f} %" if name in row else LESS


TARGET: Column = ("target", text("target"))
CLOSED: tuple[Column, ...] = (
    TARGET,
    ("CPU / nginx", ratio),
    ("noise of the ratio", noise("ratio_spread")),
    ("CPU µs", number("cpu_us", 2)),
    ("requests/s", number("rps", 0)),
    ("p50 µs", number("p50_us", 0)),
    ("p99 µs", number("p99_us", 0)),
    ("added p50 µs", number("added_p50_us", 0)),
    ("added p99 µs", number("added_p99_us", 0)),
    ("memory MiB", number("memory_kib", 1, 1 / 1024)),
)


def inserted(columns: Sequence[Column], at: int, *more: Column) -> list[Column]:
    return [*columns[:at], *more, *columns[at:]]


TABLES: dict[str, tuple[str, str, Sequence[Column]]] = {
    "chat": (
        "Chat completions, not streamed",
        "A request of about 200 bytes, an answer of about 300, one worker, `c` keep-alive connections. CPU is that of "
        "the whole process tree per request; the added columns are differences to the mock alone under the same load.",
        inserted(CLOSED, 1, ("c", text("connections"))),
    ),
    "logging": (
        "Log lines",
        "The same load over 32 connections, with and without the two lines per request of level info, which is the "
        "default; they go to a file.",
        CLOSED,
    ),
    "sse": (
        "Streams",
        "32 streams at a time, no pause between events; the mock writes every event by itself. CPU is per event.",
        [*CLOSED[:4], ("events/s", number("events_per_second", 0)), ("events per stream", text("events_per_stream"))],
    ),
    "translated": (
        "Other dialects",
        "Streams of 96 pieces of text, 32 at a time, and whole answers, by the caller's dialect and the upstream's "
        "protocol, next to chat completions from an OpenAI upstream, which are relayed. CPU of a stream is per piece; "
        "`other` is an OpenAI-compatible vendor without the Responses API.",
        [
            ("caller", text("dialect")),
            ("upstream", text("family")),
            ("", text("path")),
            ("CPU / relay", ratio),
            ("noise of the ratio", noise("ratio_spread")),
            ("CPU µs per piece", number("cpu_us", 2)),
            ("whole answer: CPU / relay", number("whole_ratio", 2)),
            ("CPU µs", number("whole_cpu_us", 1)),
        ],
    ),
    "bodies": (
        "Size of the prompt",
        "CPU milliseconds per request, and the slope of the line through all sizes.",
        [
            TARGET,
            ("prompt bytes", number("prompt_bytes", 0)),
            ("CPU / nginx", ratio),
            ("noise of the ratio", noise("ratio_spread")),
            ("CPU ms", number("cpu_us", 3, 1e-3)),
            ("slope, CPU ms per MB", number("slope_ms_per_mb", 3)),
        ],
    ),
    "workers": (
        "Workers",
        "64 connections; one and two workers are placed on the same CPUs, so only their number differs.",
        inserted(CLOSED[:5], 1, ("workers", text("workers"))),
    ),
    "latency": (
        "Added latency at a fixed arrival rate",
        "Open loop, Poisson arrivals, latency counted from the intended start. Each round measures the mock directly, "
        "then through the target.",
        [
            TARGET,
            ("requests/s", text("rate")),
            ("added p50 ms", number("added_p50_ms", 3)),
            ("added p99 ms", number("added_p99_ms", 3)),
            ("direct p50 ms", number("direct_p50_ms", 3)),
            ("direct p99 ms", number("direct_p99_ms", 3)),
            ("failed", text("failures")),
            ("note", text("refused")),
        ],
    ),
    "memory": (
        "Idle memory",
        "The idle process after two requests, and what each idle keep-alive connection adds after one request on it.",
        [
            TARGET,
            ("idle MiB", number("idle_kib", 1, 1 / 1024)),
            ("connections", text("connections")),
            ("KiB per connection", number("kib_per_connection", 2)),
        ],
    ),
    "streams": (
        "Concurrent paced streams",
        "All streams are open at once, one event every 20 ms in each. A gap is the time at the client between two "
        "reads that completed an event.",
        [
            TARGET,
            ("streams", text("streams")),
            ("complete", text("completed")),
            ("max gap ms", nested("gap_ms", "max", 0)),
            ("p99 gap ms", nested("gap_ms", "p99", 1)),
            ("CPU µs per event", number("cpu_us_per_event", 2)),
            ("KiB per stream over idle", number("kib_per_stream", 1)),
            ("generator lag p99 ms", nested("lag_ms", "p99")),
            ("note", text("refused")),
        ],
    ),
    "slow": (
        "Slow readers",
        "Clients that take 1 kB/s of a stream without pauses, next to 100 ordinary requests per second.",
        [
            TARGET,
            ("readers", text("readers")),
            ("failed", text("failed")),
            ("KiB per reader over idle", number("kib_per_reader", 1)),
            ("s until idle", number("settled_s")),
            ("others failed", text("others_failed")),
            ("others' p99 ms alone", number("others_p99_ms_alone", 2)),
            ("others' p99 ms beside them", number("others_p99_ms_beside", 2)),
        ],
    ),
}


def table(columns: Sequence[Column], rows: Sequence[Row]) -> list[str]:
    """Markdown; a column without any value is left out."""
    cells = [[show(row) for _, show in columns] for row in rows]
    used = [index for index in range(len(columns)) if any(line[index] != LESS for line in cells)]
    lines = [[columns[index][0] for index in used], ["---" if index == 0 else "---:" for index in used]]
    lines += [[line[index] for index in used] for line in cells]
    return ["| " + " | ".join(line) + " |" for line in lines]


def render(report: dict[str, Any]) -> str:
    machine, method = report["machine"], report["method"]
    lines = ["# Benchmark results", ""]
    lines += [f"Run of {report['when']}. Rendered from JSON by `python -m bench.report`; do not edit.", ""]
    lines += ["Compare ratios, not absolute figures: every target got the same load in the same run, in turn.", ""]
    lines += ["## Budget", ""]
    lines += table(
        [("", text("name")), ("measured", text("value")), ("limit", text("limit")), ("", text("kept"))],
        [
            {
                "name": one.name,
                "value": "no figure" if one.value is None else f"{one.value:.2f} {one.unit}",
                "limit": f"{one.limit:.2f}",
                "kept": "kept" if one.kept else "" if one.value is None else "**over**",
            }
            for one in judge(report)
            if one.scenario in report["scenarios"]
        ],
    )
    for name, (title, words, columns) in TABLES.items():
        rows = report["scenarios"].get(name)
        if rows:
            lines += ["", f"## {title}", "", words, "", *table(columns, rows)]
    lines += ["", "## Method and machine", ""]
    lines += [f"- {key.replace('_', ' ')}: {value}" for key, value in machine.items()]
    lines += [f"- {name} {version}" for name, version in report["targets"].items()]
    lines += [f"- not measured: {name} ({why})" for name, why in report["skipped"].items()]
    lines += [
        f"- {method['rounds']} interleaved rounds of {method['seconds']:g} s, medians; ratios are formed per round",
        "- noise is (maximum - minimum) / median over the rounds",
        f"- closed-loop generator {method['generator']} (the own one for targets too slow for it)",
        f"- memory is {method['memory'].upper()} of the process tree",
        f"- one worker: {method['placement']}; workers: {method['placement_workers']}",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    sys.stdout.write(render(json.loads(Path(sys.argv[1]).read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
