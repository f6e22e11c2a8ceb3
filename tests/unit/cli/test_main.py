"""The command line by itself: usage, exit codes, how a failed start is worded."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fastgw import __version__
from fastgw.cli.main import ERROR_BYTES, brief, main


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


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["validate", "--help"], ["export", "--help"]])
def test_what_is_only_printed(arguments: list[str]) -> None:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0
    assert done.stdout
    assert (__version__ in done.stdout) is (arguments == ["--version"])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "--config"),
        (["--nonsense"], "--nonsense"),
        (["nonsense"], "nonsense"),
        (["--config"], "--config"),
        (["validate"], "--resources"),
        (["validate", "--resources"], "--resources"),
        (["validate", "--resources", "x", "--nonsense"], "--nonsense"),
        (["export"], "--etcd"),
        (["export", "--etcd", " , "], "--etcd"),
    ],
)
def test_wrong_usage(arguments: list[str], text: str) -> None:
    done = CliRunner(env={"FASTGW_CONFIG": None}).invoke(main, arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Usage:" in done.stderr
    assert text in done.stderr


@pytest.mark.parametrize("way", ["--config", "-c", "FASTGW_CONFIG"])
def test_the_file_is_named_by_an_option_or_the_environment(way: str) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("FASTGW_")}
    arguments = [way, "none.yaml"] if way.startswith("-") else []
    environ |= {} if arguments else {way: "none.yaml"}
    command = [sys.executable, "-m", "fastgw", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environ)
    assert (done.returncode, done.stdout) == (1, "")
    wanted = "Error: config load failed: failed to load configuration: none.yaml: cannot read file: "
    assert done.stderr == f"{wanted}No such file or directory\n"
