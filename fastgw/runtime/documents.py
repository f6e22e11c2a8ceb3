"""The two HTML pages of the admin listener. They are whole: nothing is loaded from elsewhere."""

import base64
import re
from functools import cache
from hashlib import sha256
from pathlib import Path

from fastgw.http.pages import Page

DATA = Path(__file__).parents[1] / "data"


@cache
def html(name: str) -> Page:
    """A page of fastgw/data. Its policy admits its own script and style, by hash, and requests to this listener."""
    text = (DATA / f"{name}.html").read_text(encoding="utf-8")
    policy = [
        "default-src 'none'",
        f"script-src {fingerprint(text, 'script')}",
        f"style-src {fingerprint(text, 'style')}",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    fields = f"content-security-policy: {'; '.join(policy)}\r\nx-content-type-options: nosniff\r\n"
    return Page(200, "text/html; charset=utf-8", text.encode(), fields.encode())


def fingerprint(text: str, element: str) -> str:
    """The source expression for the one inline element of that name (CSP Level 3 §2.3.1)."""
    (inner,) = re.findall(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)
    return f"'sha256-{base64.b64encode(sha256(inner.encode()).digest()).decode()}'"
