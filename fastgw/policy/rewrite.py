"""URL rewriting (``proxy.url_rewrites``): the first rule that matches changes the raw path, once."""

import logging
import re
from collections.abc import Iterable
from typing import Final

from fastgw.config.rewrites import CompiledRewrite, compile_rewrite
from fastgw.config.schema import UrlRewrite

_log: Final = logging.getLogger(__name__)

# What a path may hold on the wire without `?` and `#`, which would end it (RFC 9112 §3.2).
_PATH: Final = re.compile(r"/[!\"$->@-~]*")


class UrlRewriter:
    """An ordered list of compiled rules. Matching costs time linear in the path, per rule."""

    __slots__ = ("_rules",)

    def __init__(self, rules: Iterable[UrlRewrite]) -> None:
        """Raises :class:`fastgw.config.ConfigError` for an invalid rule."""
        self._rules: tuple[CompiledRewrite, ...] = tuple(compile_rewrite(rule, i) for i, rule in enumerate(rules))

    def apply(self, raw_path: str) -> str | None:
        """The new path for a still percent-encoded one without its query, or None to leave it alone.

        A rule that yields no valid path is reported with a warning and leaves the request as it is.
        """
        for rule in self._rules:
            match = rule.regex.search(raw_path)
            if match is not None:
                parts = (part if isinstance(part, str) else match.group(part) or "" for part in rule.template)
                path = f"{raw_path[: match.start()]}{''.join(parts)}{raw_path[match.end() :]}"
                if _PATH.fullmatch(path):
                    return path
                _log.warning("url rewrite rule %s yields no valid path; the request is left as it is", rule.name)
                return None
        return None
