"""The same gateway in front of every kind of upstream, for streams that it translates."""

from __future__ import annotations

import json
from typing import Any

from bench.peers.base import UPSTREAM_KEY
from bench.peers.fastgw import Fastgw

FAMILIES: dict[str, tuple[dict[str, Any], str]] = {
    "openai": ({"provider": "openai", "adapter": "openai", "api_key": UPSTREAM_KEY}, "gpt-4o"),
    "anthropic": ({"provider": "anthropic", "adapter": "anthropic", "api_key": UPSTREAM_KEY}, "claude-sonnet-4-5"),
    "vertex": (
        {"provider": "google", "adapter": "vertex", "api_key": {"project": "p", "region": "r", "access_token": "t"}},
        "gemini-2.5-pro",
    ),
    "bedrock": (
        {
            "provider": "aws",
            "adapter": "bedrock",
            "api_key": {"access_key_id": "a", "secret_access_key": "s", "region": "r"},
        },
        "amazon.nova-pro-v1:0",
    ),
}
"""Provider key and upstream model by the name of the wire family, which is also the caller's name of the model.
`other`, a vendor without the Responses API, stands beside them."""

OTHER = "other"


class FastgwFamilies(Fastgw):
    """One model for each."""

    name = "fastgw, families"

    def resources(self, upstream: int) -> dict[str, Any]:
        found = super().resources(upstream)
        origin = f"http://127.0.0.1:{upstream}"
        keys, models = [], []
        for family, (key, model) in {**FAMILIES, OTHER: FAMILIES["openai"]}.items():
            secret = key["api_key"] if isinstance(key["api_key"], str) else json.dumps(key["api_key"])
            base = f"{origin}/v1" if key["adapter"] == "openai" else origin
            keys.append({**key, "display_name": family, "api_key": secret, "api_base": base})
            vendor = OTHER if family == OTHER else key["provider"]
            models.append({"display_name": family, "provider": vendor, "model_name": model, "provider_key": family})
        return {**found, "provider_keys": keys, "models": models}
