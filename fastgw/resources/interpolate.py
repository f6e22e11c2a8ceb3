"""``${VAR}`` in string values: environment references, resolved once, after YAML parsing."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

# `$$`, a complete reference, or a `${` that is never closed; any other `$` is literal.
_DOLLAR: Final = re.compile(r"\$\$|\$\{([^}]*)\}|\$\{")

_Place = tuple[Any, str | int] | None
"""(the place around it, member or index)."""


def interpolate(entry: dict[str, object], environ: Mapping[str, str]) -> tuple[dict[str, object], list[str]]:
    """A copy of ``entry`` with its string values resolved, and one message per reference that cannot be."""
    failures: list[str] = []

    def visit(value: object, place: _Place) -> object:
        if isinstance(value, str):
            if "$" not in value:
                return value
            return _expand(value, environ, lambda reason: failures.append(f"field `{_path(place)}`: {reason}"))
        if isinstance(value, dict):
            return {key: visit(item, (place, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [visit(item, (place, index)) for index, item in enumerate(value)]
        return value

    result = visit(entry, None)
    assert isinstance(result, dict)
    return result, failures


def _path(place: _Place) -> str:
    """``routing.targets[0].model``."""
    steps: list[str] = []
    while place is not None:
        place, step = place
        steps.append(f"[{step}]" if isinstance(step, int) else f".{step}")
    return "".join(reversed(steps)).removeprefix(".")


def _expand(text: str, environ: Mapping[str, str], fail: Callable[[str], None]) -> str:
    def replacement(match: re.Match[str]) -> str:
        name = match.group(1)
        if match.group() == "$$":
            return "$"
        if name is None:
            fail("unterminated `${` (write `$${` for a literal one)")
        elif not name:
            fail("empty variable name in `${}`")
        else:
            value = environ.get(name)
            if not value:
                fail(f"environment variable `{name}` is unset or empty")
            elif not is_unicode(value):
                fail(f"environment variable `{name}` is not valid UTF-8")
            else:
                return value
        return ""

    return _DOLLAR.sub(replacement, text)


def is_unicode(text: str) -> bool:
    """False for the lone surrogates that stand for undecodable bytes of the environment."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)
