"""Boots of the real process that fail, and how they say why."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from tests.support.gateway import boot_config, gateway, resources
from tests.support.mock import Mock
from tests.support.observe import ask


def run_to_end(gw_config: dict[str, Any], directory: Path, document: Any = None, *more: str) -> tuple[int, str]:
    """Start a gateway that cannot start; its exit code and stderr."""
    (directory / "config.yaml").write_text(yaml.safe_dump(gw_config))
    if document is not None:
        (directory / "resources.yaml").write_text(json.dumps(document))
    done = subprocess.run(
        [sys.executable, "-m", "fastgw", "--config", str(directory / "config.yaml"), *more],
        capture_output=True,
        text=True,
        timeout=20,
    )
    return done.returncode, done.stderr


def one_error(stderr: str) -> str:
    """The error of a failed boot: exactly one, short, and no traceback."""
    assert "Traceback" not in stderr
    assert stderr.count("Error: ") == 1, stderr
    assert len(stderr) < 2048
    return stderr[stderr.index("Error: ") :]


@pytest.mark.parametrize("label", ["proxy", "metrics", "admin"])
def test_a_taken_port_is_a_boot_failure(tmp_path: Path, label: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as owner:
        address = f"127.0.0.1:{owner.getsockname()[1]}"
        config = boot_config(tmp_path)
        if label == "proxy":
            config["proxy"]["addr"] = address
        elif label == "admin":
            config["admin"] = {"addr": address, "admin_keys": ["k"]}
        else:
            config["observability"]["metrics"]["prometheus"]["addr"] = address
        code, stderr = run_to_end(config, tmp_path, resources("http://127.0.0.1:9/v1"))
    assert code == 1
    assert f"{label} listener bind {address} failed: Address already in use" in one_error(stderr)


def test_the_port_of_another_gateway_is_taken_too(tmp_path: Path, mock: Mock) -> None:
    with gateway(resources(mock.url)) as gw:
        code, stderr = run_to_end(
            boot_config(tmp_path, addr=f"127.0.0.1:{gw.port}"), tmp_path, resources("http://127.0.0.1:9/v1")
        )
        assert code == 1
        assert "Address already in use" in one_error(stderr)
        assert ask(gw, "fast-chat").status == 200


def test_bad_configuration_is_a_boot_failure(tmp_path: Path) -> None:
    code, stderr = run_to_end(boot_config(tmp_path, workers=0), tmp_path, resources("http://127.0.0.1:9/v1"))
    assert code == 1
    assert one_error(stderr).startswith("Error: config load failed: failed to load configuration: ")


def test_managed_mode_is_refused_and_not_ignored(tmp_path: Path) -> None:
    config = {**boot_config(tmp_path), "managed": {"enabled": True, "cp_base_url": "https://control.test"}}
    del config["resources_file"]
    code, stderr = run_to_end(config, tmp_path)
    assert code == 1
    assert "connecting to a control plane is not supported" in one_error(stderr)


def test_a_long_report_is_cut(tmp_path: Path) -> None:
    document = resources("http://127.0.0.1:9/v1")
    document["models"] = [
        {**document["models"][0], "display_name": f"m{n}", "provider_key": "none"} for n in range(200)
    ]
    code, stderr = run_to_end(boot_config(tmp_path), tmp_path, document)
    assert code == 1
    error = one_error(stderr)
    assert error.startswith(f"Error: resources file {tmp_path}/resources.yaml: 200 error(s):\n  - models[0]")
    assert re.search(r"\n  … and \d+ more line\(s\)\n$", error)


def test_bad_resources_are_a_boot_failure(tmp_path: Path) -> None:
    document = resources("http://127.0.0.1:9/v1")
    document["models"][0]["provider_key"] = "nobody"
    config = boot_config(tmp_path)
    code, stderr = run_to_end(config, tmp_path, document)
    assert code == 1
    assert one_error(stderr).startswith(f"Error: resources file {tmp_path}/resources.yaml: 1 error(s):\n  - models[0]")
    code, stderr = run_to_end({**config, "resources_file": str(tmp_path / "none.yaml")}, tmp_path)
    assert code == 1
    assert "cannot read file: No such file or directory" in one_error(stderr)


def test_bad_tls_files_are_a_boot_failure(tmp_path: Path) -> None:
    certificate, junk = tmp_path / "cert.pem", tmp_path / "junk.pem"
    trustme.CA().issue_cert("127.0.0.1").cert_chain_pems[0].write_to_path(certificate)
    junk.write_text("no certificate")
    document = resources("http://127.0.0.1:9/v1")
    files = {"cert_file": str(certificate), "key_file": str(tmp_path / "none.pem")}
    code, stderr = run_to_end(boot_config(tmp_path, tls=files), tmp_path, document)
    assert code == 1
    error = one_error(stderr)
    assert "proxy.tls" in error
    assert files["cert_file"] in error
    assert files["key_file"] in error
    config = boot_config(tmp_path) | {"upstream": {"tls": {"ca_file": str(junk)}}}
    code, stderr = run_to_end(config, tmp_path, document)
    assert code == 1
    assert "upstream.tls.ca_file" in one_error(stderr)


def test_a_missing_config_flag_is_a_usage_error() -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("FASTGW")}
    done = subprocess.run([sys.executable, "-m", "fastgw"], capture_output=True, text=True, timeout=20, env=environ)
    assert done.returncode == 2
    assert "--config" in done.stderr


def test_a_worker_that_cannot_start_ends_the_boot(tmp_path: Path) -> None:
    """A module that shadows one the worker needs, but not the supervisor, makes every worker crash."""
    (tmp_path / "httptools.py").write_text("raise SystemExit(7)")
    config = boot_config(tmp_path) | {"observability": {"metrics": {"prometheus": {"enabled": False}}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "resources.yaml").write_text(json.dumps(resources("http://127.0.0.1:9/v1")))
    starter = (
        "import sys; from fastgw.cli.main import main; import os;"
        f"os.environ['PYTHONPATH'] = {str(tmp_path)!r} + ':' + os.environ.get('PYTHONPATH', '');"
        "import fastgw.runtime.supervisor; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", starter, "--config", str(tmp_path / "config.yaml")],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 1
    assert "worker 0 ended during start with exit code 7" in one_error(done.stderr)


def test_time_to_ready(mock: Mock) -> None:
    with gateway(resources(mock.url)) as gw:
        gw.stop()
        began = time.monotonic()
        gw.start()
        # The figure for people is 0.4 s on an idle machine; this bound is for a busy one.
        assert time.monotonic() - began < 15
