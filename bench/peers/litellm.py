"""LiteLLM's proxy (PyPI `litellm[proxy]`). Found on the PATH, or where the environment variable LITELLM points."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import yaml

from bench.peers.base import CALLER_KEY, UPSTREAM_KEY, Peer


class LiteLLM(Peer):
    name = "litellm"

    @classmethod
    def executable(cls) -> str:
        return os.environ.get("LITELLM") or shutil.which("litellm") or ""

    @classmethod
    def available(cls) -> str:
        return "" if cls.executable() else "no `litellm` on the PATH, LITELLM not set"

    def version(self) -> str:
        # Asking the command costs seconds of import; the interpreter beside it knows from the package's metadata.
        python = Path(self.executable()).with_name("python")
        code = "import importlib.metadata as m; print(m.version('litellm'))"
        done = subprocess.run([str(python), "-c", code], stdout=subprocess.PIPE, text=True, check=False)
        return done.stdout.strip() or "unknown"

    def command(self, directory: Path, upstream: int, workers: int) -> list[str]:
        from bench.macro.upstream import MODELS

        config = {
            "model_list": [
                {
                    "model_name": name,
                    "litellm_params": {
                        "model": f"openai/{name}",
                        "api_base": f"http://127.0.0.1:{upstream}/v1",
                        "api_key": UPSTREAM_KEY,
                    },
                }
                for name in MODELS
            ],
            "general_settings": {"master_key": CALLER_KEY},
            "litellm_settings": {"telemetry": False, "num_retries": 0},
        }
        path = directory / "litellm.yaml"
        path.write_text(yaml.safe_dump(config))
        argv = [self.executable(), "--config", str(path), "--host", "127.0.0.1", "--port", str(self.port)]
        return [*argv, "--num_workers", str(workers)]

    def environment(self) -> dict[str, str]:
        # The price list from the package instead of a download at start; errors only in the log.
        return {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
