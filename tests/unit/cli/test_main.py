"""How the command line words a failed start."""

from hypothesis import given
from hypothesis import strategies as st

from fastgw.cli.main import ERROR_BYTES, brief


def test_a_short_message_is_left_alone() -> None:
    assert brief("Error: one\n  - two") == "Error: one\n  - two"


def test_a_report_is_cut_between_lines_and_the_rest_counted() -> None:
    lines = [f"  - models[{index}]: something is wrong with it" for index in range(500)]
    text = brief("\n".join(["Error: resources file x: 500 error(s):", *lines]))
    *kept, last = text.split("\n")
    assert kept[1:] == lines[: len(kept) - 1]
    assert last == f"  … and {500 - len(kept) + 1} more line(s)"


@given(st.text())
def test_no_message_is_long(text: str) -> None:
    for repeated in (text, text * 400, (text + "\n") * 400):
        assert len(brief(repeated).encode("utf-8", "replace")) <= ERROR_BYTES + 40
        assert brief(repeated) == repeated or "…" in brief(repeated)
