"""Fills in the made parts of golden fixtures: `python -m tests.golden.record NAME...` (all without a name)."""

import json
import sys

from tests.golden.harness import HERE, Case, fixtures, load

for name in sys.argv[1:] or fixtures():
    fixture = load(name)
    case = Case(name, fixture)
    if "refused" in fixture:
        fixture["refused"] = case.refused()
    elif "error" in fixture:
        fixture["reply_status"], fixture["reply"] = case.error()
    else:
        fixture["sent"] = case.sent(False)
        if "sent_streaming" in fixture:
            fixture["sent_streaming"] = case.sent(True)
        if "answer" in fixture:
            fixture["reply"] = case.reply()
        if "events" in fixture:
            fixture["stream"] = case.stream()
    (HERE / f"{name}.json").write_text(json.dumps(fixture, indent=1, ensure_ascii=False) + "\n")
