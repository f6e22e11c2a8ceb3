"""Credentials in addresses that end up in messages and log lines."""

import re
from typing import Final
from urllib.parse import unquote

_SECRET_NAMES: Final = ("key", "token", "secret", "password", "credential", "sig", "signature")
_PARAMETER = re.compile(r"[?&;#]([^\x00-\x20?&;=#\"<>]*)=")
_VALUE = re.compile(r"[^\x00-\x20&#\"<>]*")
_USER_INFO = re.compile(r"(?<=://)[^\x00-\x20/?#\"<>]*@")


def redact_urls(text: str) -> str:
    """`text` with the credentials of every URL in it replaced by `REDACTED`.

    These are user information and the values of parameters whose name ends in key, token, secret, password,
    credential, sig or signature (any case, percent-encoded or not). A value reaches to the next `&`, `#`, blank or
    character that no URL may hold, so that too much is hidden rather than too little. Linear in the text.
    """
    text = _USER_INFO.sub("REDACTED@", text)
    kept: list[str] = []
    done = 0
    while (match := _PARAMETER.search(text, done)) is not None:
        end = match.end()
        kept.append(text[done:end])
        done = end
        if unquote(match[1]).rstrip().lower().endswith(_SECRET_NAMES):
            value = _VALUE.match(text, end)
            if value is not None and value.end() > end:
                kept.append("REDACTED")
                done = value.end()
    kept.append(text[done:])
    return "".join(kept)
