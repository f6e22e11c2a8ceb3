"""Access tokens for all workers: minted once, kept until shortly before their end, failures told as what they are."""

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from fastgw.core.errors import GatewayError
from fastgw.core.grants import ClientCredentials, Grant, ServiceAccount
from fastgw.runtime.grants import MAX_SECONDS, MAX_TOKENS, GrantServer, WorkerTokens, keep, read_token
from fastgw.runtime.link import Mint, Minted
from fastgw.runtime.outbound import FetchError, Reply
from tests.support.issuer import private_key

GRANT = ClientCredentials("https://login.example/t/token", "id", "secret", "scope")
GOOD = json.dumps({"access_token": "tok-1", "expires_in": 3600}).encode()


class Clock:
    """Moves the loop's clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        real = loop.time
        monkeypatch.setattr(loop, "time", lambda: real() + self.ahead)


class Bench:
    """A supervisor's side and two workers, with `replies` for the requests to the authority."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.posted: list[tuple[str, dict[str, str]]] = []
        self.replies: list[Reply | Exception] = []
        self.asked = 0
        self.server = GrantServer(self.loop, self._post)
        self.workers = [WorkerTokens(self.loop, lambda question, n=n: self._ask(n, question)) for n in range(2)]
        self._tasks: set[asyncio.Task[None]] = set()

    async def _post(self, url: str, form: dict[str, str]) -> Reply:
        self.posted.append((url, form))
        await asyncio.sleep(0)
        reply = self.replies.pop(0) if self.replies else Reply(200, None, GOOD)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _ask(self, worker: int, question: Mint) -> None:
        async def answer() -> None:
            self.asked += 1
            self.workers[worker].received(await self.server.answer(question))

        task = self.loop.create_task(answer())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def token(self, worker: int = 0, grant: Grant = GRANT) -> str:
        return self.workers[worker].current(grant) or await self.workers[worker].fetch(grant)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_many_requests_of_all_workers_cause_one_request_to_the_authority() -> None:
    async def work() -> None:
        bench = Bench()
        assert await asyncio.gather(*(bench.token(n % 2) for n in range(20))) == ["tok-1"] * 20
        assert bench.asked == 2
        assert bench.posted == [
            (
                GRANT.url,
                {"grant_type": "client_credentials", "client_id": "id", "client_secret": "secret", "scope": "scope"},
            )
        ]

    run(work())


def test_a_token_is_renewed_a_minute_before_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        bench = Bench()
        clock = Clock(bench.loop, monkeypatch)
        await bench.token()
        clock.ahead = 3539
        assert await bench.token() == "tok-1"
        assert len(bench.posted) == 1
        clock.ahead = 3541
        bench.replies.append(Reply(200, None, b'{"access_token":"tok-2","expires_in":"3600"}'))
        assert await bench.token(1) == "tok-2"
        assert await bench.token(0) == "tok-2"
        assert len(bench.posted) == 2

    run(work())


@pytest.mark.parametrize(
    "other",
    [
        ClientCredentials("https://login.example/u/token", "id", "secret", "scope"),
        ClientCredentials(GRANT.url, "id2", "secret", "scope"),
        ClientCredentials(GRANT.url, "id", "secret2", "scope"),
    ],
)
def test_another_credential_means_another_token(other: Grant) -> None:
    async def work() -> None:
        bench = Bench()
        await bench.token()
        await bench.token(grant=other)
        assert len(bench.posted) == 2

    run(work())


@pytest.mark.parametrize(
    ("reply", "status", "kind", "text"),
    [
        (FetchError("ConnectionRefusedError"), 502, "transport_error", "token endpoint: ConnectionRefusedError"),
        (Reply(503, "3", b"down"), 502, "upstream_error", "upstream returned 503"),
        (Reply(302, None, b""), 502, "upstream_error", "upstream returned 302"),
        (
            Reply(401, None, b"no " * 400),
            500,
            "config_error",
            "bridge is misconfigured: token endpoint returned 401: no",
        ),
        (Reply(200, None, b"<html>"), 502, "upstream_decode_error", "unparseable"),
        (Reply(200, None, b'{"access_token":"a\\nb","expires_in":1}'), 502, "upstream_decode_error", "access_token"),
        (Reply(200, None, b'{"access_token":"a","expires_in":{}}'), 502, "upstream_decode_error", "expires_in"),
    ],
)
def test_failures(reply: Reply | Exception, status: int, kind: str, text: str) -> None:
    async def work() -> None:
        bench = Bench()
        bench.replies.append(reply)
        with pytest.raises(GatewayError) as caught:
            await bench.token()
        assert (caught.value.status, caught.value.type) == (status, kind)
        assert text in caught.value.message
        assert len(caught.value.message) < 700
        # Nothing of a failure is remembered.
        assert await bench.token() == "tok-1"

    run(work())


def test_a_wait_that_the_authority_asks_for_is_kept() -> None:
    async def work() -> None:
        bench = Bench()
        bench.replies.append(Reply(503, "3", b""))
        with pytest.raises(GatewayError) as caught:
            await bench.token()
        assert getattr(caught.value, "wait_hint", None) == 3.0

    run(work())


def test_a_caller_that_leaves_does_not_end_the_request_of_others() -> None:
    async def work() -> None:
        bench = Bench()
        first, second = (bench.loop.create_task(bench.token()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == "tok-1"

    run(work())


def test_an_assertion_of_a_service_account() -> None:
    private = private_key("RS256")
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = ServiceAccount("https://oauth2.example/token", "a@b.example", pem, "scope-1")
    form = account.form(1_000_000.5)
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert jwt.get_unverified_header(form["assertion"]) == {"alg": "RS256", "typ": "JWT"}
    options: Any = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(form["assertion"], private.public_key(), ["RS256"], audience=account.url, options=options)
    assert claims == {
        "iss": "a@b.example",
        "scope": "scope-1",
        "aud": account.url,
        "iat": 1_000_000,
        "exp": 1_003_600,
    }
    with pytest.raises(ValueError, match="the private key cannot sign"):
        ServiceAccount(account.url, "a", "-----BEGIN junk", "s").form(0)
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ValueError, match="the private key cannot sign"):
        ServiceAccount(account.url, "a", public.decode(), "s").form(0)


def test_a_key_that_cannot_sign_is_a_misconfiguration() -> None:
    async def work() -> None:
        bench = Bench()
        with pytest.raises(GatewayError, match="bridge is misconfigured: the private key cannot sign"):
            await bench.token(grant=ServiceAccount("https://x/t", "a", "-----BEGIN junk", "s"))

    run(work())


def test_remembered_tokens_are_bounded() -> None:
    held: dict[Grant, tuple[str, float]] = {}
    for number in range(3 * MAX_TOKENS):
        keep(held, ClientCredentials("u", str(number), "s", "x"), "t", number + 10, number)
        assert len(held) <= MAX_TOKENS


def test_a_grant_survives_the_way_between_processes() -> None:
    import msgspec

    for grant in (GRANT, ServiceAccount("u", "e", "k", "s")):
        data = msgspec.msgpack.encode(Mint(1, grant))
        assert msgspec.msgpack.decode(data, type=Mint).grant == grant
    assert Minted(1).failure is None


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("1e300", MAX_SECONDS),
        ('"inf"', MAX_SECONDS),
        ('"1e999"', MAX_SECONDS),
        ("-5", 0),
        ('"nan"', 0),
        ("99999", MAX_SECONDS),
    ],
)
def test_no_token_is_believed_to_last(told: str, seconds: float) -> None:
    assert read_token(f'{{"access_token": "t", "expires_in": {told}}}'.encode()) == ("t", seconds)
