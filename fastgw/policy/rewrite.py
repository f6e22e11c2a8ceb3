"""URL rewriting (``proxy.url_rewrites``): the first rule that matches changes the raw path, once."""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from fastgw.config.rewrites import CompiledRewrite, compile_rewrite
from fastgw.config.schema import UrlRewrite

# What a path may hold on the wire without `?` and `#`, which would end it (RFC 9112 §3.2).
_PATH: Final = re.compile(r"/[!\"$->@-~]*")


class Rewritten(NamedTuple):
    """``path`` is None when the rule yields no valid path: the request stays as it is, and a warning names the rule."""

    rule: str
    path: str | None


class UrlRewriter:
    """An ordered list of compiled rules. Matching costs time linear in the path, per rule."""

    __slots__ = ("_rules",)

    def __init__(self, rules: Iterable[UrlRewrite]) -> None:
        """Raises :class:`fastgw.config.ConfigError` for an invalid rule."""
        self._rules: tuple[CompiledRewrite, ...] = tuple(compile_rewrite(rule, i) for i, rule in enumerate(rules))

    def apply(self, raw_path: str) -> Rewritten | None:
        """What becomes of a still percent-encoded path without its query; None when no rule matches."""
        for rule in self._rules:
            match = rule.regex.search(raw_path)
            if match is not None:
                parts = (part if isinstance(part, str) else match.group(part) or "" for part in rule.template)
                path = f"{raw_path[: match.start()]}{''.join(parts)}{raw_path[match.end() :]}"
                return Rewritten(rule.name, path if _PATH.fullmatch(path) else None)
        return None
