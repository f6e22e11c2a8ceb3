"""`fastgw quickstart`: a gateway that answers a first call without any account.

Starts the bundled mock provider and the gateway with the files of config/quickstart, waits until the gateway is ready,
prints how to call it, and stays until it is told to stop or one of the two ends. With OPENAI_API_KEY in the environment
the resources of openai.yaml join those of resources.yaml.
"""

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any

import click
import yaml

HOST = "127.0.0.1"
GATEWAY_PORT = 3000
MOCK_PORT = 4010
CALLER_KEY = "sk-fastgw-quickstart"
MODEL = "mock-gpt"
READY_WITHIN = 10.0
"""Seconds until the gateway must answer /readyz; it answers within one on an idle machine."""
POLL = 0.02
CONFIG = Path(__file__).resolve().parents[2] / "config" / "quickstart"


class QuickstartError(click.ClickException):
    """The quickstart cannot run; the message says what to do about it."""


def quickstart(port: int = GATEWAY_PORT, mock_port: int = MOCK_PORT) -> int:
    """Run mock provider and gateway until a signal arrives or one of them ends; return the exit code for the process.

    The code is the gateway's own, or 1 when the mock provider ended first. Raises QuickstartError when a port is taken,
    the configuration is not there, or the gateway does not become ready.
    """
    if not CONFIG.is_dir():
        raise QuickstartError(f"{CONFIG} not found: the quickstart runs from a source checkout of fastgw")
    claim("gateway", port, "--port")
    claim("mock provider", mock_port, "--mock-port")
    with tempfile.TemporaryDirectory(prefix="fastgw-quickstart-") as scratch:
        resources = compose(CONFIG, mock_port, with_openai=bool(os.environ.get("OPENAI_API_KEY")))
        config = write_config(Path(scratch), resources)
        environment = os.environ | {"FASTGW_PROXY__ADDR": f"{HOST}:{port}"}
        if port != GATEWAY_PORT:  # a second quickstart must not meet the first one on the metrics port either
            environment["FASTGW_OBSERVABILITY__METRICS__PROMETHEUS__ADDR"] = f"{HOST}:0"
        with Children() as children:
            children.start("mock provider", ["mock-upstream", "--port", str(mock_port)], dict(os.environ))
            children.start("gateway", ["--config", str(config)], environment)
            if wait_ready(children, port, mock_port):
                aliases = [model["display_name"] for model in resources["models"]]
                click.echo(guide(f"http://{HOST}:{port}/v1", aliases))
            return children.wait()


def claim(what: str, port: int, option: str) -> None:
    """Raise QuickstartError when another process listens on `port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise QuickstartError(
                f"the {what} cannot listen on {HOST}:{port} ({error.strerror}); "
                f"stop the process that does, or choose another port with {option}"
            ) from error


def compose(folder: Path, mock_port: int, with_openai: bool) -> dict[str, Any]:
    """Return the resources document of the quickstart: the mock provider on its port, and OpenAI's aliases if wanted.

    Values are taken as they are written, so that a key named by ${OPENAI_API_KEY} stays in the environment.
    """
    text = (folder / "resources.yaml").read_text(encoding="utf-8")
    resources: dict[str, Any] = yaml.safe_load(text.replace(f"{HOST}:{MOCK_PORT}", f"{HOST}:{mock_port}"))
    if with_openai:
        for collection, entries in yaml.safe_load((folder / "openai.yaml").read_text(encoding="utf-8")).items():
            if isinstance(entries, list):
                resources[collection] = [*resources.get(collection, []), *entries]
    return resources


def write_config(scratch: Path, resources: dict[str, Any]) -> Path:
    """Write bootstrap file and composed resources into the private folder `scratch`; return the former's path."""
    config = yaml.safe_load((CONFIG / "config.yaml").read_text(encoding="utf-8"))
    config["resources_file"] = str(scratch / "resources.yaml")
    config.setdefault("shutdown", {}).setdefault("min_drain_secs", 0)  # nobody waits for a load balancer to notice
    for path, document in ((scratch / "config.yaml", config), (scratch / "resources.yaml", resources)):
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return scratch / "config.yaml"


def wait_ready(children: "Children", port: int, mock_port: int) -> bool:
    """Wait until /readyz answers 200 and the mock accepts; False when a child ended or a stop was asked for first."""
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        if children.stopping or children.ended():
            return False
        if answers_ready(port) and accepts(mock_port):
            return True
        time.sleep(POLL)
    raise QuickstartError(f"the gateway was not ready on {HOST}:{port} within {READY_WITHIN:.0f} s; see its log above")


def answers_ready(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def accepts(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


class Children:
    """The processes of one quickstart: started in order, stopped in reverse, none left behind.

    They run in sessions of their own, so that Ctrl-C reaches this process alone and the gateway can finish what it
    serves while its provider still answers.
    """

    def __init__(self) -> None:
        self.stopping = False
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> "Children":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for _name, child in reversed(self._running):
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()

    def start(self, name: str, arguments: list[str], environment: dict[str, str]) -> None:
        command = [sys.executable, "-m", "fastgw", *arguments]
        self._running.append((name, subprocess.Popen(command, env=environment, start_new_session=True)))  # noqa: S603

    def ended(self) -> bool:
        return any(child.poll() is not None for _name, child in self._running)

    def wait(self) -> int:
        """Block until a child ends; return the exit code that this process should end with."""
        while not self.ended():
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        (mock_name, mock), (gateway_name, gateway) = self._running
        if gateway.poll() is None:
            click.echo(f"Error: the {mock_name} ended unexpectedly ({_reason(mock.returncode)}); stopping", err=True)
            return 1
        if not self.stopping:
            click.echo(f"Error: the {gateway_name} ended unexpectedly ({_reason(gateway.returncode)})", err=True)
        return gateway.returncode if gateway.returncode >= 0 else 128 - gateway.returncode

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """First signal: let the gateway drain. Second: do not wait for it."""
        again, self.stopping = self.stopping, True
        for name, child in self._running:
            if name == "gateway" and child.poll() is None:
                child.kill() if again else child.terminate()


def _reason(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def guide(base_url: str, aliases: list[str]) -> str:
    """Return what a person needs for the first calls; every block works as pasted."""
    return f"""
fastgw is ready.

  base URL    {base_url}
  caller key  {CALLER_KEY}
  models      {", ".join(aliases)}

# curl
{curl(base_url, "Say hello")}

# curl, streaming
{curl(base_url, "Count to five", stream=True)}

# Python SDK (pip install openai)
{python(base_url)}

Ctrl-C stops it.
"""


def curl(base_url: str, prompt: str, stream: bool = False) -> str:
    """Return a shell command for one chat completion."""
    streaming = ' "stream": true,' if stream else ""
    return f"""curl -sS{"N" if stream else ""} {base_url}/chat/completions \\
  -H 'Authorization: Bearer {CALLER_KEY}' -H 'Content-Type: application/json' \\
  -d '{{"model": "{MODEL}",{streaming} "messages": [{{"role": "user", "content": "{prompt}"}}]}}'"""


def python(base_url: str) -> str:
    """Return a program that makes one chat completion with the official SDK."""
    return f"""from openai import OpenAI
client = OpenAI(base_url="{base_url}", api_key="{CALLER_KEY}")
answer = client.chat.completions.create(model="{MODEL}", messages=[{{"role": "user", "content": "Say hello"}}])
print(answer.choices[0].message.content)"""
