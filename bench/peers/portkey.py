"""Portkey's open gateway (npm `@portkey-ai/gateway`). Found globally, or where the environment variable PORTKEY points
(the package's folder). It is configured by request headers; it has one process, so `workers` does not apply."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path

from bench.peers.base import UPSTREAM_KEY, Peer

SERVER = "build/start-server.js"


class Portkey(Peer):
    name = "portkey"

    def __init__(self) -> None:
        super().__init__()
        self._upstream = 0

    @staticmethod
    @functools.cache
    def package() -> Path | None:
        if not shutil.which("node"):
            return None
        places = [os.environ.get("PORTKEY", "")]
        if shutil.which("npm"):
            done = subprocess.run(
                ["npm", "root", "-g"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False
            )
            places.append(f"{done.stdout.strip()}/@portkey-ai/gateway")
        return next((Path(place) for place in places if place and (Path(place) / SERVER).is_file()), None)

    @classmethod
    def available(cls) -> str:
        return "" if cls.package() else "npm package @portkey-ai/gateway not installed globally, PORTKEY not set"

    def version(self) -> str:
        package = self.package()
        assert package is not None
        return str(json.loads((package / "package.json").read_text())["version"])

    def command(self, directory: Path, upstream: int, workers: int) -> list[str]:
        package = self.package()
        assert package is not None
        self._upstream = upstream
        return ["node", str(package / SERVER), f"--port={self.port}", "--headless"]

    def environment(self) -> dict[str, str]:
        return {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}

    def headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {UPSTREAM_KEY}",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"http://127.0.0.1:{self._upstream}/v1",
        }
