import pytest

from fastgw.config.schema import ClientTypeRule
from fastgw.core.regex import RegexError
from fastgw.policy.client_type import ClientTypes


@pytest.mark.parametrize(
    ("user_agent", "label"),
    [
        ("", "unknown"),
        ("  \t", "unknown"),
        ("OpenAI/Python 3.0.0", "openai-python"),
        ("AsyncOpenAI/Python 3.0.0", "openai-python"),
        ("OpenAI/JS 6.1", "openai-node"),
        ("claude-cli/1.0 (external)", "claude-code"),
        ("Anthropic/Python 0.9", "anthropic-python"),
        ("RooCode/3", "roo-code"),
        ("Zed/1.0", "zed"),
        ("python-httpx/0.28", "httpx"),
        ("curl/8.0", "curl"),
        ("undici", "node"),
        ("Mozilla/5.0 Cursor/1.0", "cursor"),
        ("Mozilla/5.0", "browser"),
        ("something else", "other"),
    ],
)
def test_built_in(user_agent: str, label: str) -> None:
    assert ClientTypes().classify(user_agent) == label


def test_rules_come_first_in_order_and_ignore_case() -> None:
    types = ClientTypes(
        [ClientTypeRule(pattern="^acme-(web|app)", client="acme"), ClientTypeRule(pattern="curl", client="tools")]
    )
    assert types.classify("  ACME-App/2 curl/8") == "acme"
    assert types.classify("Curl/8") == "tools"
    assert types.classify("x acme-web") == "other"


def test_invalid_pattern() -> None:
    with pytest.raises(RegexError):
        ClientTypes([ClientTypeRule(pattern="(?!a)", client="x")])
