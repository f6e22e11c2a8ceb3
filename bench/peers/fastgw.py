"""The gateway of this repository, with a caller key, an aliased model and usage accounting, as users run it."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import yaml

from bench.peers.base import CALLER_KEY, UPSTREAM_KEY, Peer

ROOT = Path(__file__).parents[2]
ALIAS_PREFIX = "alias-"


class Fastgw(Peer):
    name = "fastgw"
    log_level = "warn"

    @classmethod
    def available(cls) -> str:
        missing = [name for name in ("fastgw.cli.main", "fastgw._speedups.splice") if not found(name)]
        return f"not built: {', '.join(missing)} missing" if missing else ""

    def version(self) -> str:
        from fastgw import __version__

        return __version__

    def model(self, name: str) -> str:
        # An alias that differs from the upstream's name, so that rewriting it is part of what is measured.
        return ALIAS_PREFIX + name

    def command(self, directory: Path, upstream: int, workers: int) -> list[str]:
        config = {
            "namespace": "default",
            "resources_file": str(directory / "resources.yaml"),
            "proxy": {"addr": f"127.0.0.1:{self.port}", "workers": workers},
            "shutdown": {"min_drain_secs": 0},
            "admin": {"enabled": False},
            "observability": {"log_level": self.log_level, "metrics": {"prometheus": {"enabled": False}}},
        }
        (directory / "config.yaml").write_text(yaml.safe_dump(config))
        (directory / "resources.yaml").write_text(yaml.safe_dump(self.resources(upstream)))
        return [sys.executable, "-m", "fastgw", "--config", str(directory / "config.yaml")]

    def resources(self, upstream: int) -> dict[str, Any]:
        from bench.macro.upstream import MODELS

        return {
            "_format_version": "1",
            "provider_keys": [
                {
                    "display_name": "mock",
                    "provider": "mock",
                    "adapter": "openai",
                    "api_key": UPSTREAM_KEY,
                    "api_base": f"http://127.0.0.1:{upstream}/v1",
                }
            ],
            "models": [
                {"display_name": self.model(name), "provider": "mock", "model_name": name, "provider_key": "mock"}
                for name in MODELS
            ],
            "api_keys": [
                {
                    "display_name": "bench",
                    "key_hash": hashlib.sha256(CALLER_KEY.encode()).hexdigest(),
                    "allowed_models": ["*"],
                }
            ],
        }

    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(ROOT)}


class FastgwLogging(Fastgw):
    """The same with the level that is the default: two lines per request, into a file."""

    name = "fastgw, level info"
    log_level = "info"


def found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
