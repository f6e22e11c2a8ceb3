"""Which lines are written: plain levels, targets, and what is malformed."""

import pytest

from fastgw.telemetry.levels import LEVELS, chosen_levels, parse_levels


@pytest.mark.parametrize(
    ("text", "target", "level"),
    [
        ("info", "fastgw", "info"),
        ("", "fastgw", "info"),
        ("WARN", "fastgw::auth", "warn"),
        ("warn,info", "fastgw", "info"),
        ("info , warn", "fastgw", "info"),
        ("off", "fastgw::proxy", "off"),
        ("debug,hyper=error", "fastgw", "debug"),
        ("hyper=error", "fastgw", "info"),
        ("fastgw=trace", "fastgw::proxy", "trace"),
        ("fastgw=trace,fastgw::proxy=warn", "fastgw::proxy", "warn"),
        ("fastgw=trace,fastgw::proxy=warn", "fastgw::auth", "trace"),
        ("error,fastgw::auth=debug", "fastgw::auth", "debug"),
        ("error,fastgw::auth=debug", "fastgw::proxy", "error"),
        ("fastgw::auth=error,fastgw::auth=debug", "fastgw::auth", "debug"),
        ("fast=trace", "fastgw", "info"),
        ("fastgw::proxyother=off", "fastgw::proxy", "info"),
    ],
)
def test_levels(text: str, target: str, level: str) -> None:
    assert parse_levels(text).of(target) == LEVELS[level]


@pytest.mark.parametrize("text", ["loud", "info,loud", "fastgw=loud", "=info", "a=b=info", "fastgw=", "fastgw"])
def test_what_is_no_directive(text: str) -> None:
    with pytest.raises(ValueError, match="unknown log level"):
        parse_levels(text)


def test_the_environment_outranks_the_file() -> None:
    assert chosen_levels("warn", "debug")[0].of("fastgw") == LEVELS["debug"]
    for nothing in (None, "", "  "):
        assert chosen_levels("warn", nothing)[0].of("fastgw") == LEVELS["warn"]


def test_an_environment_that_is_only_about_targets_leaves_the_rest_to_the_file() -> None:
    levels, problem = chosen_levels("warn", "fastgw::auth=debug")
    assert problem is None
    assert (levels.of("fastgw::auth"), levels.of("fastgw::proxy")) == (LEVELS["debug"], LEVELS["warn"])


def test_a_malformed_environment_counts_for_nothing_and_is_told() -> None:
    levels, problem = chosen_levels("error", "info,loud")
    assert levels.of("fastgw") == LEVELS["error"]
    assert problem == "unknown log level in 'loud'"
    with pytest.raises(ValueError, match="unknown log level"):
        chosen_levels("loud", "info")
