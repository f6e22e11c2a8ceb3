"""`fastgw export` against a real etcd: the file, what is said, exit codes, and that it is the same configuration."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastgw.cli import export as command
from fastgw.resources.file import load_resources
from tests.support.etcd import Etcd, etcd, needs_etcd
from tests.support.gateway import free_port

CANARY = "canary5f1d"
HASH = "0123456789abcdef" * 4
DOCUMENTS = {
    "provider_keys/p": {"display_name": "openai", "provider": "openai", "api_key": CANARY, "later": True},
    "models/m": {"display_name": "gpt", "provider": "openai", "model_name": "n", "provider_key_id": "p"},
    "models/g": {"display_name": "group", "routing": {"targets": [{"model": "gpt"}]}, "cost": {}},
    "api_keys/k": {"key_hash": HASH, "allowed_models": ["gpt"]},
}
VARIABLE = "FASTGWSECRET_PROVIDER_KEY_OPENAI_API_KEY"


@pytest.fixture(scope="module")
def store() -> Iterator[Etcd]:
    with etcd() as running:
        yield running


def fastgw(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fastgw.cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environ},
        check=False,
    )


@needs_etcd
def test_round_trip(store: Etcd, tmp_path: Path) -> None:
    good = {name: value for name, value in DOCUMENTS.items() if name != "models/g"}
    store.write({f"/trip/{name}": value for name, value in good.items()})
    output = tmp_path / "out.yaml"
    output.write_text("before " * 1000)
    output.chmod(0o644)
    done = fastgw("export", "--etcd", store.url, "--prefix", "/trip", "-o", str(output), FASTGW_NO_SUCH_KEY="x")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        f"Exported 3 resource(s) to {output}",
        "1 secret value(s) were replaced with ${VAR} placeholders. Set these environment variables where the file is"
        " loaded:",
        f'  {VARIABLE} — provider_keys "openai" api_key',
    ]
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert CANARY not in output.read_text()
    checked = fastgw("validate", "--resources", str(output), **{VARIABLE: CANARY})
    assert (checked.returncode, checked.stdout) == (0, f"OK: {output} loaded 3 resource(s)\n")
    resources = load_resources(output, {VARIABLE: CANARY})
    (key,), (model,), (caller,) = resources.provider_keys, resources.models, resources.api_keys
    assert key.value.api_key == CANARY
    assert model.value.provider_key_id == key.id
    assert (caller.value.key_hash, caller.value.allowed_models) == (HASH, ("gpt",))


@needs_etcd
def test_what_is_rejected_is_said_and_the_rest_is_written(store: Etcd) -> None:
    store.write({f"/aisix/{name}": value for name, value in DOCUMENTS.items()})
    store.put("/aisix/models/b", b'{"display_name": "' + CANARY.encode())
    store.put("/aisix", {})
    done = fastgw("export", "--etcd", f"http://127.0.0.1:{free_port()}, {store.url}", FASTGW_NAMESPACE="aisix")
    assert done.returncode == 1
    assert done.stdout.startswith('_format_version: "1"\nprovider_keys:\n- display_name: openai\n')
    assert "api_key: ${AISIXSECRET_PROVIDER_KEY_OPENAI_API_KEY}\n" in done.stdout
    assert "display_name: gpt\n" in done.stdout
    assert done.stderr.splitlines()[:4] == [
        "Exported 3 resource(s) to stdout",
        "  - /aisix (bad_key): key does not have the form <prefix>/<kind>/<id>",
        "  - /aisix/models/b (non_json): document is not valid JSON",
        "  - /aisix/models/g (schema_failed): schema validation failed at `/cost`: missing required field"
        " `input_per_1k`",
    ]
    assert CANARY not in done.stdout + done.stderr


@needs_etcd
def test_revealed(store: Etcd) -> None:
    store.write({"/shown/provider_keys/p": DOCUMENTS["provider_keys/p"]})
    done = fastgw("export", "--etcd", store.url, "--etcd", store.url, "--prefix", "/shown", "--reveal-secrets")
    assert done.returncode == 0
    assert f"api_key: {CANARY}\n" in done.stdout
    assert done.stderr.splitlines() == [
        "Exported 1 resource(s) to stdout",
        "warning: the output contains credentials in plain text (--reveal-secrets)",
    ]


@needs_etcd
def test_an_output_that_cannot_be_written(store: Etcd, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "none" / "out.yaml"
    assert command.export_etcd([store.url], "/empty", "fastgw", output, reveal=False) == 1
    assert capsys.readouterr() == ("", f"Error: cannot write {output}: No such file or directory\n")


def test_nobody_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "PAUSE_SECONDS", 0.0)
    assert command.export_etcd([f"http://127.0.0.1:{free_port()}"], "/fastgw", "fastgw", None, reveal=False) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: http://127.0.0.1:")


def test_an_address_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.export_etcd([f"http://u:{CANARY}@h:1"], "/fastgw", "fastgw", None, reveal=False) == 1
    assert capsys.readouterr().err == "Error: etcd.endpoints[0] must have the form http(s)://host:port\n"


@pytest.mark.parametrize("arguments", [(), ("--etcd", ","), ("--etcd", "http://h:1", "--nope")])
def test_usage(arguments: tuple[str, ...]) -> None:
    done = fastgw("export", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage:" in done.stderr
