"""What the quickstart decides before and after it starts processes."""

import json
import os
import shlex
import signal
import socket
import stat
import sys
import threading
from pathlib import Path

import pytest
import yaml

from fastgw.cli import quickstart as module

RESOURCES = """
_format_version: "1"
provider_keys:
  - {display_name: mock, provider: openai, secret: none, api_base: "http://127.0.0.1:4010/v1"}
models:
  - {display_name: mock-gpt, provider: openai, model_name: mock-gpt, provider_key: mock}
"""
OPENAI = """
_format_version: "1"
provider_keys:
  - {display_name: openai, provider: openai, secret: "${OPENAI_API_KEY}"}
models:
  - {display_name: gpt-4o-mini, provider: openai, model_name: gpt-4o-mini, provider_key: openai}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in (("resources", RESOURCES), ("openai", OPENAI), ("config", 'proxy: {addr: "127.0.0.1:3000"}\n')):
        (tmp_path / f"{name}.yaml").write_text(text)
    monkeypatch.setattr(module, "CONFIG", tmp_path)
    return tmp_path


def test_a_taken_port_is_named_with_the_way_out() -> None:
    with socket.socket() as taken:
        taken.bind((module.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(module.QuickstartError, match=rf"127\.0\.0\.1:{port} \(Address already in use\).*--port"):
            module.claim("gateway", port, "--port")
    module.claim("gateway", port, "--port")


def test_the_mock_port_reaches_the_provider_key(folder: Path) -> None:
    document = module.compose(folder, 4444, with_openai=False)
    assert [key["api_base"] for key in document["provider_keys"]] == ["http://127.0.0.1:4444/v1"]
    assert [model["display_name"] for model in document["models"]] == ["mock-gpt"]


def test_openai_aliases_join_without_the_key_being_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-private")
    document = module.compose(folder, module.MOCK_PORT, with_openai=True)
    assert [model["display_name"] for model in document["models"]] == ["mock-gpt", "gpt-4o-mini"]
    config = module.write_config(folder, document)
    written = [config, folder / "resources.yaml"]
    assert "sk-very-private" not in "".join(path.read_text() for path in written)
    assert yaml.safe_load(config.read_text())["resources_file"] == str(folder / "resources.yaml")
    assert yaml.safe_load((folder / "resources.yaml").read_text()) == document


def test_files_are_private(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    scratch = tmp_path_factory.mktemp("scratch")
    config = module.write_config(scratch, module.compose(folder, 4010, with_openai=False))
    assert {stat.S_IMODE(path.stat().st_mode) for path in scratch.iterdir()} == {0o600}
    assert config.parent == scratch


@pytest.mark.parametrize("stream", [False, True])
def test_curl_snippet_is_one_shell_command_with_a_json_body(stream: bool) -> None:
    words = shlex.split(module.curl("http://127.0.0.1:3000/v1", "Say hello", stream))
    body = json.loads(words[words.index("-d") + 1])
    assert body["model"] == module.MODEL
    assert body.get("stream", False) is stream
    assert "http://127.0.0.1:3000/v1/chat/completions" in words


def test_guide_names_everything() -> None:
    text = module.guide("http://127.0.0.1:3000/v1", ["mock-gpt", "gpt-4o-mini"])
    for part in ("http://127.0.0.1:3000/v1", module.CALLER_KEY, "mock-gpt, gpt-4o-mini", '"stream": true', "OpenAI("):
        assert part in text


class Processes(module.Children):
    """Children that run Python code instead of fastgw."""

    def start(self, name: str, arguments: list[str], environment: dict[str, str]) -> None:
        self._running.append((name, module.subprocess.Popen([sys.executable, "-c", *arguments], env=environment)))


@pytest.fixture
def signals() -> object:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


FOREVER = "import signal; signal.pause()"


@pytest.mark.usefixtures("signals")
class TestChildren:
    def run(self, mock: str, gateway: str) -> int:
        with Processes() as children:
            children.start("mock provider", [mock], dict(os.environ))
            children.start("gateway", [gateway], dict(os.environ))
            code = children.wait()
        assert children.ended()
        return code

    def test_the_gateways_exit_code_is_ours(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert self.run(FOREVER, "raise SystemExit(3)") == 3
        assert "the gateway ended unexpectedly (exit code 3)" in capfd.readouterr().err

    def test_a_dead_mock_ends_the_quickstart(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert self.run("import os; os.kill(os.getpid(), 9)", FOREVER) == 1
        assert "the mock provider ended unexpectedly (SIGKILL)" in capfd.readouterr().err

    def test_a_signal_lets_the_gateway_finish_cleanly(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        ready = tmp_path / "ready"
        os.mkfifo(ready)
        gateway = f"""
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
open({str(ready)!r}, "w").close()
signal.pause()"""

        def interrupt() -> None:
            ready.open().close()
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        assert self.run(FOREVER, gateway) == 0
        thread.join()
        assert capfd.readouterr().err == ""
