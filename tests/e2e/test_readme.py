"""What README.md, docs/ and the quickstart's own guide tell people to paste, pasted."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from fastgw.config import load_config
from tests.support.gateway import Gateway, free_port, gateway
from tests.support.mock import mock_upstream
from tests.support.quickstart import Quickstart, quickstart

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTED = "127.0.0.1:3000"
DOCUMENTED_METRICS = "127.0.0.1:9090"
DOCUMENTED_ADMIN = "127.0.0.1:9091"
DOCUMENTED_MOCK = "http://127.0.0.1:4010"
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quickstart]:
    with quickstart(tmp_path_factory.mktemp("quickstart") / "log") as started:
        yield started


def fenced(language: str, containing: str, page: str = README) -> list[str]:
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return [block for block in blocks if containing in block]


@pytest.fixture(scope="module")
def documented() -> Iterator[tuple[Gateway, str]]:
    """What the quickstart serves, with a metrics listener whose port is known, and an admin listener."""
    addr = f"127.0.0.1:{free_port()}"
    text = (ROOT / "config/quickstart/resources.yaml").read_text()
    with mock_upstream() as mock:
        admin = {"enabled": True, "addr": addr, "admin_keys": ["YOUR-ADMIN-KEY"]}
        document = yaml.safe_load(text.replace(DOCUMENTED_MOCK, mock.origin))
        with gateway(document, {"admin": admin}) as served:
            yield served, addr


def printed(guide: str, heading: str) -> str:
    """The block of the guide under the comment line `# heading`, up to the next empty line."""
    match = re.search(rf"^# {re.escape(heading)}\n(.*?)\n\n", guide, re.DOTALL | re.MULTILINE)
    assert match, guide
    return match[1]


def paste(code: str, *shell: str) -> str:
    finished = subprocess.run([*shell, "-c", code], capture_output=True, text=True, timeout=30)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def assert_completion(output: str) -> None:
    answer = json.loads(output)
    assert answer["object"] == "chat.completion", answer
    assert answer["model"] == "mock-gpt"
    assert answer["choices"][0]["message"]["content"]


def assert_stream(output: str) -> None:
    events = [line.removeprefix("data: ") for line in output.splitlines() if line]
    assert events[-1] == "[DONE]", output
    chunks = [json.loads(event) for event in events[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])


@needs_curl
def test_readme_curl(running: Quickstart) -> None:
    (once, stream) = (block.replace(DOCUMENTED, f"127.0.0.1:{running.port}") for block in fenced("sh", "curl"))
    assert_completion(paste(once, "bash"))
    assert_stream(paste(stream, "bash"))


def test_readme_python(running: Quickstart) -> None:
    (program,) = fenced("python", "OpenAI(")
    models, answer = paste(program.replace(DOCUMENTED, f"127.0.0.1:{running.port}"), sys.executable).split("\n", 1)
    assert models == "['mock-gpt']"
    assert answer.strip()


@needs_curl
def test_printed_guide(running: Quickstart) -> None:
    assert f"http://127.0.0.1:{running.port}/v1" in running.guide
    assert_completion(paste(printed(running.guide, "curl"), "bash"))
    assert_stream(paste(printed(running.guide, "curl, streaming"), "bash"))
    assert paste(printed(running.guide, "Python SDK (pip install openai)"), sys.executable).strip()


def test_readme_configuration_is_valid(tmp_path: Path) -> None:
    """Both files load as they stand."""
    for name in ("config", "resources"):
        (block,) = fenced("yaml", f"# {name}.yaml")
        (tmp_path / f"{name}.yaml").write_text(block)
    assert load_config(tmp_path / "config.yaml", {}).resources_file == str(tmp_path / "resources.yaml")
    environment = os.environ | {"OPENAI_API_KEY": "sk-test", "MY_TEAM_KEY": "sk-team"}
    validate = [sys.executable, "-m", "fastgw", "validate", "--resources", "resources.yaml"]
    finished = subprocess.run(validate, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30)
    assert (finished.returncode, finished.stdout) == (0, "OK: resources.yaml loaded 3 resource(s)\n"), finished.stderr


def test_commands_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    documents = [README, (ROOT / "CONTRIBUTING.md").read_text(), (ROOT / "SECURITY.md").read_text()]
    named = {name for text in documents for name in re.findall(r"(?:`|^)make ([a-z]+)", text, re.MULTILINE)}
    assert {"run", "test", "lint", "bench"} <= named <= targets


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_examples_of_the_documents(page: str, documented: tuple[Gateway, str], tmp_path: Path) -> None:
    """Every shell and Python block of docs/ runs, says something and ends with 0."""
    served, admin = documented
    text = (ROOT / "docs" / page).read_text()
    command = tmp_path / "fastgw"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m fastgw "$@"\n')
    command.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    for language, shell in (("sh", "bash"), ("python", sys.executable)):
        for example in fenced(language, "", text):
            if "curl" in example and shutil.which("curl") is None:
                pytest.skip("curl is not installed")
            code = example.replace(DOCUMENTED, f"127.0.0.1:{served.port}").replace(DOCUMENTED_ADMIN, admin)
            code = code.replace(DOCUMENTED_METRICS, f"127.0.0.1:{served.metrics_port}")
            options = ["-e"] if shell == "bash" else []
            finished = subprocess.run(
                [shell, *options, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30
            )
            assert finished.returncode == 0, f"{example}{finished.stderr}"
            assert finished.stdout.strip(), example
    languages = {line[3:] for line in [line for line in text.splitlines() if line.startswith("```")][::2]}
    assert languages <= {"sh", "python", "json", "yaml", ""}, "a fence in a language that no test runs"
