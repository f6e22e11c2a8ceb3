"""Compiling ``proxy.url_rewrites``: the expression, and the template that replaces what it matched."""

import re
import unicodedata
from typing import Final, NamedTuple

from fastgw.config.errors import ConfigError
from fastgw.config.schema import UrlRewrite
from fastgw.core.regex import Regex, RegexError, compile_regex

_NAME: Final = re.compile(r"[0-9A-Za-z_]+")


class CompiledRewrite(NamedTuple):
    """``template`` alternates freely between literal text and group numbers."""

    name: str
    regex: Regex
    template: tuple[str | int, ...]


def compile_rewrite(rule: UrlRewrite, index: int) -> CompiledRewrite:
    """Check one rule and compile it. Raises :class:`ConfigError`, which begins with the rule's name or its place."""
    name = rule.name or f"proxy.url_rewrites[{index}]"
    try:
        regex = compile_regex(rule.match)
    except RegexError as exc:
        raise ConfigError(f"{name}: invalid match regex: {exc}") from None
    if regex.search("") is not None:
        raise ConfigError(f"{name}: match must not match the empty string")
    if any(char in "?#" or char.isspace() or unicodedata.category(char) == "Cc" for char in rule.rewrite):
        raise ConfigError(f"{name}: rewrite must not contain `?`, `#`, whitespace or control characters")
    return CompiledRewrite(name, regex, _parse_template(rule.rewrite, regex, name))


def _parse_template(text: str, regex: Regex, name: str) -> tuple[str | int, ...]:
    parts: list[str | int] = []
    position = 0
    while (dollar := text.find("$", position)) >= 0:
        parts.append(text[position:dollar])
        following = text[dollar + 1 : dollar + 2]
        bare = _NAME.match(text, dollar + 1)
        if following == "{":
            end = text.find("}", dollar)
            if end < 0:
                raise ConfigError(f"{name}: rewrite has an unterminated `${{`")
            parts.append(_group(text[dollar + 2 : end], regex, name))
            position = end + 1
        elif bare:
            parts.append(_group(bare.group(), regex, name))
            position = bare.end()
        else:  # `$$` is one dollar; before anything else a dollar stands for itself
            parts.append("$")
            position = dollar + (2 if following == "$" else 1)
    parts.append(text[position:])
    return tuple(part for part in parts if part != "")


def _group(reference: str, regex: Regex, name: str) -> int:
    number = regex.groupindex.get(reference)
    if number is None and reference.isascii() and reference.isdigit() and len(reference) < 10:
        number = int(reference)
    if number is None or number > regex.groups:
        raise ConfigError(f"{name}: rewrite references unknown capture group `{reference}`")
    return number
