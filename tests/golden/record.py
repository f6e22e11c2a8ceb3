"""Fills in the made parts of golden fixtures: `python -m tests.golden.record NAME...` (all without a name)."""

import json
import re
import sys
from typing import Any

from fastgw.core.errors import GatewayError
from tests.golden.harness import COLUMNS, HERE, Case, Fixture, document, load, matrix


def made(name: str, fixture: Fixture) -> Fixture:
    """What the gateway makes of a fixture."""
    case = Case(name, fixture)
    if "refused" in fixture:
        return {"refused": case.refused()}
    if "error" in fixture:
        status, reply = case.error()
        return {"reply_status": status, "reply": reply}
    found: Fixture = {"sent": case.sent(False)}
    if "sent_streaming" in fixture:
        found["sent_streaming"] = case.sent(True)
    if "answer" in fixture:
        found["reply"] = case.reply()
    if "events" in fixture:
        found["stream"] = case.stream()
    return found


def cell(name: str) -> Fixture:
    """What it makes of a cell of the matrix: a refusal, or without what is relayed as it is."""
    fixture = load(name)
    case = Case(name, fixture)
    try:
        whole, streamed = case.sent(False), case.sent(True)
    except GatewayError:
        return {"refused": case.refused()}
    found: Fixture = {"sent": whole}
    if {**streamed, "stream": 0, "stream_options": 0} != {**whole, "stream": 0, "stream_options": 0}:
        found["sent_streaming"] = streamed
    answer, wire = json.dumps(fixture["answer"]).encode(), case.wire()
    if case.raw_reply(answer)[0] != case.relayed(answer):
        found["reply"] = case.reply()
    if case.raw_bytes_out([wire]) != case.relayed(wire):
        found["stream"] = case.stream()
    return found


def lines(value: Any, depth: int = 3) -> str:
    """JSON with the outer levels on lines of their own."""
    if depth and isinstance(value, dict) and value:
        members = (f"{json.dumps(name)}: {lines(member, depth - 1)}" for name, member in value.items())
        return "{\n" + ",\n".join(members) + "\n}"
    if isinstance(value, list) and len(value) > 1 and isinstance(value[0], dict):
        return "[\n" + ",\n".join(lines(item, 0) for item in value) + "\n]"
    return json.dumps(value, ensure_ascii=False)


def main(names: list[str]) -> None:
    """Write the fixtures of these names, and the cases of these names of the matrix."""
    for name in names or [path.stem for path in HERE.glob("*.json")] + matrix():
        path = HERE / f"{name}.json"
        fixture = json.loads(path.read_text())
        if name.startswith("matrix/"):
            fixture["cells"] = {column: {} for column in COLUMNS}
            path.write_text(lines(fixture) + "\n")
            document.cache_clear()
            fixture["cells"] = {column: cell(f"{name}.{column}") for column in COLUMNS}
            path.write_text(lines(fixture, 4) + "\n")
        else:
            whole = json.dumps({**fixture, **made(name, fixture)}, indent=1, ensure_ascii=False)
            # Half of a pair of surrogates cannot be written but as an escape.
            path.write_bytes(re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", whole).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
