"""An identity provider for tests: serves discovery and keys over HTTP, signs tokens, counts who asked for what."""

import base64
import contextlib
import http.server
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/keys"


def private_key(alg: str) -> Any:
    """A new key for an algorithm."""
    if alg == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if alg.startswith("ES"):
        return ec.generate_private_key(ec.SECP256R1() if alg == "ES256" else ec.SECP384R1())
    return rsa.generate_private_key(65537, 2048)


def public_jwk(key: Any, **members: Any) -> dict[str, Any]:
    """The public half of a key as a member of a key set."""
    public = key.public_key()
    if isinstance(key, ed25519.Ed25519PrivateKey):
        jwk = OKPAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        jwk = ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        jwk = RSAAlgorithm.to_jwk(public, as_dict=True)
        jwk.pop("key_ops", None)
    return {**jwk, **members}


def claims(issuer: str, **more: Any) -> dict[str, Any]:
    """Claims that the provider of `document` accepts; None leaves one out."""
    made = {"iss": issuer, "aud": "gateway", "sub": "alice", "exp": int(time.time()) + 3600, **more}
    return {name: value for name, value in made.items() if value is not None}


def sign(key: Any, payload: dict[str, Any], alg: str = "EdDSA", **header: Any) -> str:
    """A compact token."""
    return jwt.encode(payload, key, alg, header)


def compact(header: Any, payload: Any, signature: bytes = b"signature") -> str:
    """Three segments around whatever is given: bytes as they are, everything else as JSON."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*parts, signature))


class Issuer:
    """A running issuer. `keys` is what the key set has, `answers` overrides (status, headers, body) per path, `hits`
    counts requests per path. With `hold` set, requests wait until it is set again."""

    def __init__(self, server: http.server.ThreadingHTTPServer) -> None:
        self._server = server
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.jwks_uri = f"{self.url}{JWKS}"
        self.keys: list[dict[str, Any]] = []
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.hits: Counter[str] = Counter()
        self.open = threading.Event()
        self.open.set()
        self.key: Any = None
        self.kid = ""
        self._generation = 0

    def rotate(self, alg: str = "EdDSA", *, keep: bool = False) -> str:
        """A new signing key, which replaces the old one; its id."""
        self._generation += 1
        self.key, self.kid = private_key(alg), f"key-{self._generation}"
        jwk = public_jwk(self.key, kid=self.kid, use="sig")
        self.keys = [*self.keys, jwk] if keep else [jwk]
        return self.kid

    def token(self, alg: str = "EdDSA", **more: Any) -> str:
        """A token that is signed with the current key."""
        return sign(self.key, claims(self.url, **more), alg, kid=self.kid)

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """What a GET of the path is told."""
        self.hits[path] += 1
        self.open.wait(30)
        if path in self.answers:
            return self.answers[path]
        if path == DISCOVERY:
            return 200, {}, json.dumps({"issuer": self.url, "jwks_uri": self.jwks_uri}).encode()
        if path.partition("?")[0] == JWKS:
            return 200, {}, json.dumps({"keys": self.keys}).encode()
        return 404, {}, b""

    def close(self) -> None:
        """Refuse connections from now on."""
        self.open.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    issuer: Issuer

    def do_GET(self) -> None:
        status, fields, body = self.issuer.answer(self.path)
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextlib.contextmanager
def issuer(alg: str = "EdDSA") -> Iterator[Issuer]:
    """An issuer with one key."""

    class Handler(_Handler):
        pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    running = Issuer(server)
    Handler.issuer = running
    running.rotate(alg)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.close()
        thread.join(10)
