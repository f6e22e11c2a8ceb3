"""Which keys are resources, and which range holds them."""

import pytest

from fastgw.resources.etcd.layout import Layout, Place


@pytest.mark.parametrize(
    ("prefix", "env_id", "key", "end"),
    [
        ("/fastgw", "", b"/fastgw", b"/fastgx"),
        ("/fastgw/", "", b"/fastgw/", b"/fastgw0"),
        ("/fastgw", "prod", b"/fastgw/prod/", b"/fastgw/prod0"),
        ("/fastgw//", "prod", b"/fastgw/prod/", b"/fastgw/prod0"),
        ("", "", b"\0", b"\0"),
        ("", "e", b"/e/", b"/e0"),
        ("/", "", b"/", b"0"),
    ],
)
def test_ranges(prefix: str, env_id: str, key: bytes, end: bytes) -> None:
    layout = Layout(prefix, env_id)
    assert (layout.key, layout.range_end) == (key, end)


@pytest.mark.parametrize(
    ("prefix", "key", "expected"),
    [
        ("/p", b"/p/models/a", Place("models", "a")),
        ("/p/", b"/p/models/a", Place("models", "a")),
        ("/p", b"/p/models/team/a/", Place("models", "team/a/")),
        ("/p", b"/p/models/\xc3\xa9", Place("models", "\u00e9")),
        ("/p", b"/p/odd/a", Place("odd", "a")),
        ("", b"/models/a", Place("models", "a")),
        ("/p", b"/p", None),
        ("/p", b"/p/", None),
        ("/p", b"/p/models", None),
        ("/p", b"/p/models/", None),
        ("/p", b"/p//a", None),
        ("/p", b"/px/models/a", None),
        ("/p", b"/pmodels/a", None),
        ("/p", b"/p/models/\xff", None),
    ],
)
def test_places(prefix: str, key: bytes, expected: Place | None) -> None:
    assert Layout(prefix).place(key) == expected
