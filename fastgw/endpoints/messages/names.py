"""Names of tools as other APIs take them: OpenAI's have 64 characters at most."""

import hashlib
from typing import Any, Final

MAX_NAME: Final = 64
_DIGEST: Final = 8


def short_names(body: dict[str, Any]) -> dict[str, str]:
    """The long names of a request's tools and what is sent for them: the first 64 characters. Where another tool has
    that name already, as tools of one server may, a digest takes the place of the last ones."""
    tools = body.get("tools")
    found = [tool.get("name") for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    names = [name for name in found if isinstance(name, str)]
    taken = {name for name in names if len(name) <= MAX_NAME}
    shortened: dict[str, str] = {}
    for name in names:
        if len(name) > MAX_NAME and name not in shortened:
            short = name[:MAX_NAME]
            if short in taken:
                digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:_DIGEST]
                short = f"{name[: MAX_NAME - _DIGEST - 1]}_{digest}"
            taken.add(short)
            shortened[name] = short
    return shortened


def shortened(name: str, shorts: dict[str, str]) -> str:
    """What is sent for a name, which may be one of a tool that is not offered any more."""
    return shorts.get(name) or name[:MAX_NAME]
