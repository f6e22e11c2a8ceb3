"""The limits of `--check`, on one report: ratios to nginx in the same run where CPU is concerned, but for body size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.macro.translation import RELAY

PRODUCT = "fastgw"
CHAT_RATIO = 2.0
EVENT_RATIO = 1.6
TRANSLATED_RATIO = 4.0
MEGABYTE_MS = 1.0
WORKERS_RATIO = 1.1
STREAM_KIB = 20_000 / 1024
GAP_CADENCES = 10
REQUIRED = ("chat from anthropic", "messages from openai")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One budget line; `value` is None when the report does not hold the figure, which is not a pass."""

    scenario: str
    name: str
    limit: float
    value: float | None
    unit: str

    @property
    def kept(self) -> bool:
        return self.value is not None and self.value <= self.limit


def judge(report: dict[str, Any]) -> list[Verdict]:
    chat = first(report, "chat", connections=32)
    sse = first(report, "sse")
    body = first(report, "bodies", prompt_bytes=1_000_000)
    one, two = first(report, "workers", workers=1), first(report, "workers", workers=2)
    stream = first(report, "streams")
    pairs = {row["pair"]: row for row in report["scenarios"].get("translated", [])}
    scale = two["cpu_us"] / one["cpu_us"] if one and two else None
    return [
        Verdict("chat", "CPU per chat request, c = 32", CHAT_RATIO, chat.get("ratio"), "x nginx"),
        Verdict("sse", "CPU per SSE event", EVENT_RATIO, sse.get("ratio"), "x nginx"),
        *[
            Verdict("translated", f"CPU per piece, {pair}", TRANSLATED_RATIO, row.get("ratio"), "x relay")
            for pair, row in ({name: pairs.get(name, {}) for name in REQUIRED} | pairs).items()
            if pair != RELAY
        ],
        Verdict("bodies", "CPU for a 1 MB prompt", MEGABYTE_MS, body["cpu_us"] / 1e3 if body else None, "ms"),
        Verdict("workers", "CPU per request, 2 workers against 1", WORKERS_RATIO, scale, "x"),
        Verdict(
            "streams", "streams not complete", 0, stream["streams"] - stream["completed"] if stream else None, "streams"
        ),
        Verdict("streams", "largest gap between paced events", GAP_CADENCES, gap(stream), "x cadence"),
        Verdict("streams", "memory per open stream", STREAM_KIB, stream.get("kib_per_stream"), "KiB"),
    ]


def gap(stream: dict[str, Any]) -> float | None:
    """None also when the generator refused to report gaps."""
    gaps = stream.get("gap_ms")
    return gaps["max"] / stream["cadence_ms"] if gaps else None


def first(report: dict[str, Any], scenario: str, **wanted: int) -> dict[str, Any]:
    """The product's row with these values; empty when there is none."""
    for row in report["scenarios"].get(scenario, []):
        if row["target"] == PRODUCT and all(row.get(name) == value for name, value in wanted.items()):
            return dict(row)
    return {}
