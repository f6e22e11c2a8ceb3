"""URL rewriting: template expansion, first rule only, first match only, and results that are no path."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw.config import ConfigError
from fastgw.config.schema import UrlRewrite
from fastgw.policy.rewrite import Rewritten, UrlRewriter


def rewrite(match: str, template: str, path: str) -> str | None:
    result = UrlRewriter([UrlRewrite(match=match, rewrite=template)]).apply(path)
    return result.path if result else None


@pytest.mark.parametrize(
    ("match", "template", "path", "expected"),
    [
        ("^/openai/(.*)$", "/v1/$1", "/openai/models", "/v1/models"),
        ("^/openai/(.*)$", "/v1/${1}x", "/openai/models", "/v1/modelsx"),
        ("^/(?P<tenant>[a-z]+)/v1", "/v1/t-${tenant}", "/acme/v1/chat", "/v1/t-acme/chat"),
        ("^/(?<tenant>[a-z]+)/v1", "/v1/$tenant", "/acme/v1/chat", "/v1/acme/chat"),
        ("/a", "/b", "/a/a/a", "/b/a/a"),
        ("b+", "$0$0", "/abba", "/abbbba"),
        ("/x", "/$$1", "/x", "/$1"),
        ("/x", "/a$", "/x", "/a$"),
        ("/x", "/a$-b", "/x", "/a$-b"),
        ("/(a)?(b)", "/$1-$2", "/b", "/-b"),
        ("/(?P<_1>x)", "/$_1", "/x", "/x"),
        ("/%2F(.)", "/$1", "/%2Fz", "/z"),
        ("/no", "/x", "/yes", None),
        ("^/x", "x", "/x", None),
        ("^/x", "", "/x", None),
        ("/x", "/é", "/x", None),
    ],
)
def test_expansion(match: str, template: str, path: str, expected: str | None) -> None:
    assert rewrite(match, template, path) == expected


def test_first_matching_rule_wins_and_does_not_cascade() -> None:
    rules = [
        UrlRewrite(name="one", match="^/a", rewrite="/b"),
        UrlRewrite(name="two", match="^/b", rewrite="/c"),
        UrlRewrite(match="^/d", rewrite="d"),
    ]
    rewriter = UrlRewriter(rules)
    assert rewriter.apply("/a") == Rewritten("one", "/b")
    assert rewriter.apply("/b") == Rewritten("two", "/c")
    assert rewriter.apply("/d") == Rewritten("proxy.url_rewrites[2]", None)
    assert rewriter.apply("/e") is None
    assert UrlRewriter([]).apply("/a") is None


@pytest.mark.parametrize(
    ("match", "template", "fragment"),
    [
        ("(", "/", "rule: invalid match regex: missing"),
        (r"(?=a)", "/", "invalid match regex"),
        (r"(a)\1", "/", "invalid match regex"),
        ("a*", "/", "match must not match the empty string"),
        ("^/v1|", "/", "match must not match the empty string"),
        ("a", "/x?y", "rewrite must not contain"),
        ("a", "/x#y", "rewrite must not contain"),
        ("a", "/x y", "rewrite must not contain"),
        ("a", "/x\u00a0y", "rewrite must not contain"),
        ("a", "/x\x00y", "rewrite must not contain"),
        ("a", "/$1", "rewrite references unknown capture group `1`"),
        ("(a)", "/$1x", "rewrite references unknown capture group `1x`"),
        ("(a)", "/$99999999999999999999", "rewrite references unknown capture group"),
        ("a", "/$n", "rewrite references unknown capture group"),
        ("a", "/${n}", "rewrite references unknown capture group"),
        ("a", "/${}", "rewrite references unknown capture group"),
        ("a", "/${n", "rewrite has an unterminated"),
        ("(a)", "/$${1", None),
    ],
)
def test_rule_errors(match: str, template: str, fragment: str | None) -> None:
    if fragment is None:
        UrlRewriter([UrlRewrite(match=match, rewrite=template)])
        return
    with pytest.raises(ConfigError) as info:
        UrlRewriter([UrlRewrite(name="rule", match=match, rewrite=template)])
    assert fragment in str(info.value)
    assert str(info.value).startswith("rule: ")


@given(st.text(alphabet="${}ab1_/", max_size=12), st.text(alphabet="/ab%2F", max_size=12))
def test_any_template_is_refused_or_applies(template: str, path: str) -> None:
    try:
        rewriter = UrlRewriter([UrlRewrite(match="(?P<a>a+)(b)?", rewrite=template)])
    except ConfigError:
        return
    result = rewriter.apply("/" + path)
    assert (result is None) == ("a" not in path)
    assert result is None or result.path is None or result.path.startswith("/")


def test_without_rules_the_regex_engine_is_not_loaded() -> None:
    code = (
        "import sys; from fastgw.policy.rewrite import UrlRewriter; from fastgw.policy.client_type import ClientTypes;"
        "UrlRewriter([]); ClientTypes(); sys.exit('re2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
