"""How an access token for an upstream is obtained: plain data that can be compared, hashed and sent to another process.

A grant holds every member of its credential, so rotating any of them makes another grant. What it says is secret.
"""

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


Grant = ClientCredentials | ServiceAccount

ASSERTION_SECONDS = 3600
"""Lifetime of an assertion: the longest that Google accepts."""
