"""What is posted to token endpoints."""

from pathlib import Path

import pytest

from fastgw.core.grants import MAX_ASSERTION, ClientAssertion

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmVk"


def grant(file: Path | str) -> ClientAssertion:
    return ClientAssertion("https://h/token", "c-1", str(file), "scope")


def test_the_file_of_an_assertion_is_read_for_each_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    for text in (TOKEN, f"{TOKEN}-_\n"):
        file.write_text(text)
        assert grant(file).form(0.0)["client_assertion"] == text.strip()
    assert str(file) not in repr(grant(file))


@pytest.mark.parametrize(
    "text",
    ["", "secret", "a.b.c", f"{TOKEN}.x", f"{TOKEN}\n{TOKEN}", "eyJ.\u00e9.x", f"{TOKEN}{'x' * MAX_ASSERTION}"],
    ids=["empty", "secret", "no-header", "four-parts", "two", "not-ascii", "large"],
)
def test_nothing_but_a_token_is_read(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"^the token file holds no JSON web token$"):
        grant(file).form(0.0)


@pytest.mark.parametrize("file", ["/", "/nowhere/at-all", "a\x00b"])
def test_files_that_cannot_be_read(file: str) -> None:
    with pytest.raises(ValueError, match=r"^the token file cannot be read: ") as caught:
        grant(file).form(0.0)
    assert "nowhere" not in str(caught.value)
