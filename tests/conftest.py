"""Rules that hold for every test run."""

from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

from tests.support.mock import Mock, mock_upstream
from tests.support.settings import NO_SKIP, withdraw

# Wall-clock deadlines measure the machine, not the property. The same examples every time, so that a run says something
# about the change at hand; `--hypothesis-profile=explore` looks for new ones.
settings.register_profile("explore", deadline=None)
settings.register_profile("fastgw", deadline=None, derandomize=True)
settings.load_profile("fastgw")


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    # Not earlier: the processes of pytest-xdist, which have been started by now, read the same variables.
    withdraw()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    # Every process of pytest-xdist has to find the same names: what is compressed or encrypted may differ each time.
    return argname if isinstance(val, bytes) and not val.isascii() else None


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
