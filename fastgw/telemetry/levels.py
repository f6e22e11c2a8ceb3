"""Which log lines are written: a level for all targets, and others for some of them.

A target is `fastgw` or, below it, `fastgw::auth`, `fastgw::config`, `fastgw::proxy`. A directive for a target holds for
everything below it as well; the longest one that fits decides.
"""

from dataclasses import dataclass, field
from typing import Final

LEVELS: Final = {"off": 0, "error": 1, "warn": 2, "info": 3, "debug": 4, "trace": 5}


@dataclass(frozen=True, slots=True)
class Levels:
    """`default` for what no entry of `targets` is about."""

    default: int
    targets: dict[str, int] = field(default_factory=dict)

    def of(self, target: str) -> int:
        """The level of a target."""
        while target:
            level = self.targets.get(target)
            if level is not None:
                return level
            target = target.rpartition("::")[0]
        return self.default


def parse_levels(text: str, default: int = LEVELS["info"]) -> Levels:
    """Comma-separated `level` and `target=level` directives.

    Of several plain levels, or of several for one target, the most verbose counts; `default` counts without a plain
    one. Targets that the gateway does not have do no harm. Raises ValueError for anything else.
    """
    plain: list[int] = []
    targets: dict[str, int] = {}
    for directive in filter(None, (part.strip() for part in text.split(","))):
        target, found, word = (part.strip() for part in directive.rpartition("="))
        level = LEVELS.get(word.lower())
        if level is None or (found and not target) or "=" in target:
            raise ValueError(f"unknown log level in {directive!r}")
        if found:
            targets[target] = max(level, targets.get(target, 0))
        else:
            plain.append(level)
    return Levels(max(plain, default=default), targets)


def chosen_levels(configured: str, environ: str | None) -> tuple[Levels, str | None]:
    """The levels of the environment variable RUST_LOG when it says something, else those of the configuration.

    Also what is wrong with the environment, which then counts for nothing. Raises ValueError when the configured
    text is malformed.
    """
    base = parse_levels(configured)
    if not environ or not environ.strip():
        return base, None
    try:
        return parse_levels(environ, base.default), None
    except ValueError as error:
        return base, str(error)
