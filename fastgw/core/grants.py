"""How an access token for an upstream is obtained: plain data that can be compared, hashed and sent to another process.

A grant holds every member of its credential, so rotating any of them makes another grant. What it says is secret.
"""

import re

import msgspec


class ClientCredentials(msgspec.Struct, tag=True, frozen=True):
    """OAuth 2.0 client credentials (RFC 6749 §4.4)."""

    url: str
    client_id: str
    client_secret: str
    scope: str

    def form(self, now: float) -> dict[str, str]:
        """The form to post to `url`."""
        return {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "scope": self.scope,
        }

    def __repr__(self) -> str:
        return "<ClientCredentials>"


class ClientAssertion(msgspec.Struct, tag=True, frozen=True):
    """OAuth 2.0 client credentials with a signed assertion in place of the secret (RFC 7523 §2.2). `file` is where the
    platform keeps the assertion; it is read for each token, because the platform renews it."""

    url: str
    client_id: str
    file: str
    scope: str

    def form(self, now: float) -> dict[str, str]:
        """The form to post to `url`. Raises ValueError for a file that cannot be read or holds no token; reads it."""
        try:
            with open(self.file, "rb") as file:
                text = file.read(MAX_ASSERTION + 1).strip()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            raise ValueError(f"the token file cannot be read: {reason or type(error).__name__}") from None
        # Nothing else may leave the machine, whatever file a configuration names.
        if len(text) > MAX_ASSERTION or not _TOKEN.fullmatch(text):
            raise ValueError("the token file holds no JSON web token")
        return {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": text.decode("ascii"),
            "scope": self.scope,
        }

    def __repr__(self) -> str:
        return "<ClientAssertion>"


class ServiceAccount(msgspec.Struct, tag=True, frozen=True):
    """A signed assertion of a service account (RFC 7523 §2.1). `private_key` is PEM text."""

    url: str
    client_email: str
    private_key: str
    scope: str

    def form(self, now: float) -> dict[str, str]:
        """The form to post to `url`. Raises ValueError for a key that cannot sign; takes about a millisecond."""
        import jwt

        claims = {
            "iss": self.client_email,
            "scope": self.scope,
            "aud": self.url,
            "iat": int(now),
            "exp": int(now) + ASSERTION_SECONDS,
        }
        try:
            assertion = jwt.encode(claims, self.private_key, algorithm="RS256")
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
            # What the library says may quote the key. A public key is read, but has no method to sign.
            raise ValueError("the private key cannot sign") from None
        return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}

    def __repr__(self) -> str:
        return "<ServiceAccount>"


Grant = ClientCredentials | ClientAssertion | ServiceAccount

ASSERTION_SECONDS = 3600
"""Lifetime of an assertion: the longest that Google accepts."""
MAX_ASSERTION = 64 * 1024
"""Bytes of a token file."""
# Header, claims and signature (RFC 7515 §3.1). The header is an object, so it begins with the encoding of `{"`.
_TOKEN = re.compile(rb"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
