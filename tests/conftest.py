"""Rules that hold for every test run."""

import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

from tests.support.mock import Mock, mock_upstream

# Wall-clock deadlines measure the machine, not the property.
settings.register_profile("fastgw", deadline=None)
settings.load_profile("fastgw")

# CI sets FASTGW_NO_SKIP so that a missing server or tool cannot turn into a green run. It is taken out of the
# environment because tests start gateways, which refuse FASTGW_* variables that are no configuration key.
NO_SKIP = os.environ.pop("FASTGW_NO_SKIP", "") not in ("", "0")


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if NO_SKIP and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: FASTGW_NO_SKIP is set, but: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    """A mock upstream for all tests of a module, unless the module has a fixture of its own."""
    with mock_upstream() as running:
        yield running
