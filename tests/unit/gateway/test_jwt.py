"""Tokens of identity providers: every outcome with its answer, reason and line; what is looked at, in which order."""

import asyncio
import base64
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw.core.errors import GatewayError
from fastgw.gateway import identity as identities
from fastgw.gateway.authenticate import authenticate
from fastgw.gateway.identity import Identity, compile_identity
from fastgw.gateway.jwt import OUTCOMES, Rejected, Token, check_claims, header_of, unbase64
from fastgw.gateway.keys import ALGORITHMS, Key, KeyAddress, KeySet, KeysUnavailable
from fastgw.resources.models import OidcProvider, Row
from fastgw.telemetry.levels import LEVELS
from fastgw.telemetry.log import Log
from tests.support.catalog import Rows
from tests.support.issuer import claims as usual_claims
from tests.support.issuer import compact, private_key, public_jwk, sign

ISSUER = "https://issuer.example"
KEYS = {alg: private_key(alg) for alg in ("EdDSA", "ES256", "ES384", "RS256")}
STRANGER = private_key("EdDSA")
SET = [public_jwk(key, kid=alg, use="sig") for alg, key in KEYS.items()]
NOW = int(time.time())

INVALID = (401, "invalid_api_key", "jwt_invalid", "invalid JWT")
CLAIMS = (403, "permission_denied", "jwt_claims_rejected", "JWT does not satisfy the required scopes or claims")
UNMAPPED = (401, "invalid_api_key", "jwt_identity_unmapped", "no API key is bound to this JWT identity")


def provider(**members: Any) -> dict[str, Any]:
    return {"name": "idp", "issuer": ISSUER, "audiences": ["gateway"], **members}


def mapping(claim: str, *values: str, op: str = "exact", key: str = "mapped", **members: Any) -> dict[str, Any]:
    return {
        "name": f"by-{claim}",
        "jwt_provider": "idp",
        "match": [{"claim": claim, "op": op, "values": values}],
        "resolve": {"api_key_id": key},
        **members,
    }


API_KEYS: dict[str, dict[str, Any]] = {
    "alice": {"jwt_provider": "idp", "jwt_subject": "alice"},
    "twin-1": {"jwt_provider": "idp", "jwt_subject": "twin"},
    "twin-2": {"jwt_provider": "idp", "jwt_subject": "twin"},
    "off": {"jwt_provider": "idp", "jwt_subject": "off", "disabled": True},
    "old": {"jwt_provider": "idp", "jwt_subject": "old", "expires_at": "2020-01-01T00:00:00Z"},
    "mapped": {},
    "other": {},
}


class Source:
    """Key sets from memory. `fetched` holds what was asked for."""

    def __init__(self, *sets: list[dict[str, Any]] | None) -> None:
        self._sets = list(sets)
        self._current: KeySet | None = None
        self.patient = False
        self.fetched: list[KeyAddress] = []

    def current(self, address: KeyAddress) -> KeySet | None:
        return self._current

    def may_refresh(self, address: KeyAddress, refused: KeySet) -> bool:
        return not self.patient

    async def fetch(self, address: KeyAddress, refused: KeySet | None = None) -> KeySet:
        self.fetched.append(address)
        keys = self._sets.pop(0) if len(self._sets) > 1 else self._sets[0]
        if keys is None:
            raise KeysUnavailable("down")
        self._current = KeySet(orjson.dumps({"keys": keys}))
        return self._current


class Desk:
    """Presents credentials. `line` is the last log line, `decision` what was counted."""

    def __init__(
        self,
        directory: Path,
        providers: list[dict[str, Any]] | None = None,
        mappings: list[dict[str, Any]] | None = None,
        keys: Source | None = None,
    ) -> None:
        keyed = {name: {"key_hash": name, "allowed_models": [], **members} for name, members in API_KEYS.items()}
        entries = [provider()] if providers is None else providers
        self.rows = Rows()
        self.snapshot = self.rows.change(
            {
                "api_keys": keyed,
                "oidc_providers": {str(index): entry for index, entry in enumerate(entries)},
                "claim_mappings": {str(index): entry for index, entry in enumerate(mappings or [])},
            }
        )
        self.keys = keys or Source(SET)
        self.decision: tuple[str, ...] = ()
        self._log = directory / "log"
        self.ex: Any = None

    def present(self, credential: str | bytes, *, level: str = "debug") -> str:
        """The name of the caller. Raises GatewayError."""
        token = credential.encode() if isinstance(credential, str) else credential
        fd = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        accounts = SimpleNamespace(
            allowed=lambda: self.decided("api_key", "allowed"),
            allowed_token=lambda: self.decided("jwt", "allowed"),
            denied=lambda method, reason: self.decided(method, "denied", reason),
        )
        gateway = SimpleNamespace(
            accounts=accounts,
            log=Log(LEVELS[level], fd=fd),
            keys=self.keys,
            address=SimpleNamespace(enabled=False),
        )

        async def wait(work: Any) -> Any:
            return await work

        self.ex = SimpleNamespace(
            request=SimpleNamespace(authorization=b"Bearer " + token, api_key=None, method=b"GET", path=b"/v1/models"),
            request_id=b"the-id",
            snapshot=self.snapshot,
            gateway=gateway,
            downstream=SimpleNamespace(peer="10.0.0.1"),
            wait=wait,
            caller=None,
            principal=None,
        )
        try:
            return asyncio.run(authenticate(self.ex)).id
        finally:
            os.close(fd)

    def decided(self, *decision: str) -> None:
        self.decision = decision

    @property
    def lines(self) -> list[str]:
        return self._log.read_text().splitlines()

    def refused(self, credential: str | bytes) -> GatewayError:
        with pytest.raises(GatewayError) as info:
            self.present(credential)
        return info.value


def token(alg: str = "EdDSA", kid: str | None = "", **more: Any) -> str:
    header = {} if kid is None else {"kid": kid or alg}
    return sign(KEYS[alg if alg in KEYS else "RS256"], usual_claims(ISSUER, **more), alg, **header)


def described(error: GatewayError) -> tuple[int, str, Any, str]:
    return error.status, error.type, error.code, error.message


GATED = [
    provider(
        required_scopes=["a", "b"],
        bound_claims={"org": "acme", "realm.roles": ["dev", "ops"]},
        leeway_secs=60,
        identity_claim="who.id",
    )
]
MAPPINGS = [
    mapping("team", "red"),
    mapping("ghost", "yes", key="nobody"),
    mapping("groups", "dev", op="contains"),
]
GOOD = {"scope": "a b", "org": "acme", "realm": {"roles": ["ops"]}, "who": {"id": "alice"}}

# reason, answer, how to set up the desk, the credential
ROWS: list[tuple[str, tuple[int, str, str, str], dict[str, Any], str]] = [
    ("jwt_malformed", INVALID, {}, compact({"alg": "RS999"}, usual_claims(ISSUER))),
    ("jwt_malformed", INVALID, {}, compact({"alg": 5}, usual_claims(ISSUER))),
    ("jwt_malformed", INVALID, {}, compact({"alg": "EdDSA", "kid": 5}, usual_claims(ISSUER))),
    ("jwt_malformed", INVALID, {}, compact({"alg": "EdDSA"}, b"not json")),
    ("jwt_malformed", INVALID, {}, compact({"alg": "EdDSA"}, [1])),
    ("jwt_malformed", INVALID, {}, token().rpartition(".")[0] + ".not+base64url"),
    ("jwt_malformed", INVALID, {}, compact({"alg": "EdDSA"}, {}).replace(".", ".!", 1)),
    ("jwt_missing_issuer", INVALID, {}, compact({"alg": "EdDSA"}, {})),
    ("jwt_missing_issuer", INVALID, {}, compact({"alg": "EdDSA"}, {"iss": [ISSUER]})),
    ("jwt_untrusted_issuer", INVALID, {}, compact({"alg": "EdDSA"}, {"iss": ISSUER + "/"})),
    ("jwt_untrusted_issuer", INVALID, {"providers": [provider(), provider(name="second")]}, token()),
    (
        "jwt_untrusted_issuer",
        INVALID,
        {"providers": [provider(enabled=False), provider(name="x", issuer="y")]},
        token(),
    ),
    ("jwt_alg_not_allowed", INVALID, {}, compact({"alg": "none"}, usual_claims(ISSUER))),
    ("jwt_alg_not_allowed", INVALID, {}, compact({"alg": "HS256"}, usual_claims(ISSUER))),
    ("jwt_alg_not_allowed", INVALID, {}, compact({"alg": "ES512"}, usual_claims(ISSUER))),
    ("jwt_unknown_kid", INVALID, {}, token(kid="other")),
    ("jwt_unknown_kid", INVALID, {"keys": Source([public_jwk(KEYS["EdDSA"], use="enc")])}, token(kid=None)),
    ("jwt_unknown_kid", INVALID, {"keys": Source([public_jwk(KEYS["EdDSA"], alg="ES256")])}, token(kid=None)),
    ("jwt_bad_signature", INVALID, {}, sign(STRANGER, usual_claims(ISSUER), kid="EdDSA")),
    ("jwt_bad_signature", INVALID, {}, sign(STRANGER, usual_claims(ISSUER))),
    ("jwt_bad_signature", INVALID, {}, sign(KEYS["EdDSA"], usual_claims(ISSUER), kid="ES256")),
    ("jwt_bad_signature", INVALID, {}, compact({"alg": "ES256", "kid": "ES384"}, usual_claims(ISSUER))),
    ("jwt_bad_signature", INVALID, {}, compact({"alg": "RS256", "kid": "RS256"}, usual_claims(ISSUER))),
    ("jwt_not_yet_valid", INVALID, {}, token(nbf=NOW + 100_000)),
    ("jwt_audience_mismatch", INVALID, {}, token(aud="elsewhere")),
    ("jwt_audience_mismatch", INVALID, {}, token(aud=["elsewhere", 5, ["gateway"]])),
    ("jwt_missing_claim", INVALID, {}, token(exp=None)),
    ("jwt_missing_claim", INVALID, {}, token(aud=None)),
    ("jwt_missing_claim", INVALID, {}, token(aud=5)),
    ("jwt_invalid", INVALID, {}, sign(KEYS["EdDSA"], usual_claims(ISSUER), kid="EdDSA", crit=["x"], x=1)),
    ("jwt_identity_claim_missing", INVALID, {}, token(sub=None)),
    ("jwt_identity_claim_missing", INVALID, {"providers": [provider(identity_claim="a.b")]}, token(a={"b": 5})),
    ("jwt_identity_claim_missing", INVALID, {"providers": [provider(identity_claim="a.b")]}, token(a="b")),
    ("jwt_expired", (401, "invalid_api_key", "jwt_expired", "JWT has expired"), {}, token(exp=NOW - 10)),
    ("jwt_scope_missing", CLAIMS, {"providers": GATED}, token(**{**GOOD, "scope": "a bc"})),
    ("jwt_scope_missing", CLAIMS, {"providers": GATED}, token(**{**GOOD, "scope": ["a", 5]})),
    ("jwt_scope_missing", CLAIMS, {"providers": GATED}, token(**{**GOOD, "scope": None})),
    ("jwt_bound_claim_mismatch", CLAIMS, {"providers": GATED}, token(**{**GOOD, "org": "acm"})),
    ("jwt_bound_claim_mismatch", CLAIMS, {"providers": GATED}, token(**{**GOOD, "org": 5})),
    ("jwt_bound_claim_mismatch", CLAIMS, {"providers": GATED}, token(**{**GOOD, "realm": {"roles": ["x", {}]}})),
    ("jwt_bound_claim_mismatch", CLAIMS, {"providers": GATED}, token(**{**GOOD, "realm": {"roles": {"ops": 1}}})),
    ("jwt_binding_ambiguous", UNMAPPED, {"mappings": MAPPINGS}, token(sub="twin", team="red")),
    ("claim_mapping_target_missing", UNMAPPED, {"mappings": MAPPINGS}, token(sub="bob", ghost="yes")),
    ("jwt_identity_unmapped", UNMAPPED, {}, token(sub="bob")),
    ("jwt_identity_unmapped", UNMAPPED, {"mappings": MAPPINGS}, token(sub="bob", team=["red"], groups="dev")),
    (
        "jwks_unavailable",
        (503, "api_error", "jwks_unavailable", "unable to fetch the identity provider's signing keys"),
        {"keys": Source(None)},
        token(),
    ),
    (
        "key_disabled",
        (401, "invalid_api_key", "api_key_disabled", "API key has been disabled"),
        {"mappings": [mapping("sub", "off")]},
        token(sub="off"),
    ),
    ("key_expired", (401, "invalid_api_key", "api_key_expired", "API key has expired"), {}, token(sub="old")),
]
EARLY = {"jwt_malformed", "jwt_missing_issuer", "jwt_untrusted_issuer", "jwt_alg_not_allowed"}


@pytest.mark.parametrize(("reason", "answer", "setup", "credential"), ROWS)
def test_outcome(
    tmp_path: Path, reason: str, answer: tuple[int, str, str, str], setup: dict[str, Any], credential: str
) -> None:
    desk = Desk(tmp_path, **setup)
    assert described(desk.refused(credential)) == answer
    assert desk.decision == ("jwt", "denied", reason)
    assert desk.ex.caller is None
    (line,) = desk.lines
    message = "rejected inbound JWT (pre-verification)" if reason in EARLY else "rejected inbound JWT"
    assert f'{"DEBUG" if reason in EARLY else " WARN"} fastgw::auth: {message} method="jwt" reason={reason}' in line
    assert line.endswith(" http_method=GET path=/v1/models request_id=the-id source_ip=10.0.0.1")
    assert credential not in line
    # A second time is no different: nothing of a refused token is remembered.
    assert described(desk.refused(credential)) == answer


def test_the_rows_are_complete() -> None:
    # The issuer of a verified token is the one its provider was found by; see test_issuer_mismatch.
    assert {reason for reason, *_ in ROWS} | {"jwt_issuer_mismatch"} == {*OUTCOMES, "key_disabled", "key_expired"}


def test_issuer_mismatch(tmp_path: Path) -> None:
    identity = Desk(tmp_path).snapshot.identity
    assert identity is not None
    with pytest.raises(Rejected) as info:
        check_claims(usual_claims("https://other.example"), identity.provider(ISSUER), NOW)
    assert info.value.reason == "jwt_issuer_mismatch"
    assert described(info.value) == INVALID


def test_the_line_tells_what_is_known(tmp_path: Path) -> None:
    desk = Desk(tmp_path, mappings=[mapping("team", "red", key="nobody")])
    desk.refused(token(sub='b"' + "x" * 200, team="red"))
    (line,) = desk.lines
    assert f'issuer="{ISSUER}" kid="EdDSA" subject="b\\"{"x" * 126}" claim_mapping="by-team" http_method' in line
    desk.refused(compact({"alg": "none", "kid": "k" * 200}, usual_claims(ISSUER)))
    (line,) = desk.lines
    assert f'issuer="{ISSUER}" kid="{"k" * 128}" http_method' in line


def test_early_refusals_are_silent_above_debug(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with pytest.raises(GatewayError):
        desk.present(compact({"alg": "none"}, usual_claims(ISSUER)), level="info")
    assert desk.lines == []
    assert desk.decision == ("jwt", "denied", "jwt_alg_not_allowed")


@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
@pytest.mark.parametrize("named", [True, False])
def test_algorithms(tmp_path: Path, alg: str, named: bool) -> None:
    key = KEYS.get(alg, KEYS["RS256"])
    desk = Desk(tmp_path, keys=Source([*SET, public_jwk(key, kid="the-key")]))
    assert desk.present(token(alg, kid="the-key" if named else None)) == "alice"
    assert desk.decision == ("jwt", "allowed")
    assert desk.lines == []
    principal = desk.ex.principal
    assert (principal.subject, principal.provider, principal.mapping) == ("alice", "idp", None)


@pytest.mark.parametrize(
    "credential",
    [
        "a.b.c",
        "a.b",
        token() + ".x",
        token().rpartition(".")[0] + ".",
        "." + token(),
        compact({}, {}),
        compact([1], {}),
        "=" + token(),
        token().replace(".", "=.", 1),
        token(pad="x" * 16000),
    ],
)
def test_what_does_not_have_the_form_of_a_token_is_a_key(tmp_path: Path, credential: str) -> None:
    desk = Desk(tmp_path)
    assert described(desk.refused(credential)) == (401, "invalid_api_key", None, "invalid API key")
    assert desk.decision == ("api_key", "denied", "unknown_key")
    assert desk.keys.fetched == []


def test_without_an_enabled_provider_a_token_is_a_key(tmp_path: Path) -> None:
    desk = Desk(tmp_path, providers=[provider(enabled=False)])
    assert desk.snapshot.identity is None
    assert desk.refused(token()).message == "invalid API key"


def test_everything_that_may_hold(tmp_path: Path) -> None:
    desk = Desk(tmp_path, providers=GATED)
    assert desk.present(token(**GOOD)) == "alice"
    now = int(time.time())
    more = {"aud": ["x", "gateway"], "scope": ["b", "a", "c"], "exp": now - 30, "nbf": now + 30, "iat": "x", "jti": []}
    assert desk.present(token(**{**GOOD, **more, "sub": 5, "realm": {"roles": "dev"}})) == "alice"


@pytest.mark.parametrize(("exp", "accepted"), [(100, True), (99.9, True), (99, False)])
def test_clock_tolerance_is_inclusive(tmp_path: Path, exp: float, accepted: bool) -> None:
    identity = Desk(tmp_path, providers=[provider(leeway_secs=10)]).snapshot.identity
    assert identity is not None
    content = usual_claims(ISSUER, exp=exp)
    now = 109.5 if exp == 99 else exp + 10
    if accepted:
        assert check_claims(content, identity.provider(ISSUER), now) == "alice"
    else:
        with pytest.raises(Rejected, match="expired"):
            check_claims(content, identity.provider(ISSUER), now)


@pytest.mark.parametrize("value", ["x", None, True, []])
def test_times_that_are_no_numbers(tmp_path: Path, value: Any) -> None:
    identity = Desk(tmp_path).snapshot.identity
    assert identity is not None
    for name, reason in (("exp", "jwt_missing_claim"), ("nbf", "jwt_invalid")):
        with pytest.raises(Rejected) as info:
            check_claims({**usual_claims(ISSUER), name: value}, identity.provider(ISSUER), NOW)
        assert info.value.reason == reason


def test_a_missing_claim_is_said_before_an_expired_one(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.refused(token(exp=1, aud=None))
    assert desk.decision[2] == "jwt_missing_claim"
    desk.refused(token(exp=1, aud="x", nbf=NOW + 100_000))
    assert desk.decision[2] == "jwt_expired"


# -- from identity to key


def test_order_of_mappings(tmp_path: Path) -> None:
    first = mapping("team", "red", key="mapped", name="z")
    cases: list[tuple[list[dict[str, Any]], str]] = [
        ([first, mapping("team", "red", key="other", name="a")], "other"),
        ([first, mapping("team", "red", key="other", name="a", priority=1)], "mapped"),
        ([first, mapping("team", "red", key="other", name="a", enabled=False)], "mapped"),
        ([first, mapping("team", "red", key="other", name="a", jwt_provider="x")], "mapped"),
        ([mapping("team", "blue", "red", key="mapped"), first], "mapped"),
        ([mapping("teams", "red", op="contains", key="other", name="a"), first], "mapped"),
    ]
    for mappings, expected in cases:
        desk = Desk(tmp_path, mappings=mappings)
        assert desk.present(token(sub="bob", team="red", teams="red")) == expected
        assert desk.ex.principal.mapping in {entry["name"] for entry in mappings}
        assert desk.present(token(team="red")) == "alice"
        assert desk.ex.principal.mapping is None


def test_all_conditions_of_a_mapping_have_to_hold(tmp_path: Path) -> None:
    both = mapping("team", "red")
    both["match"] = [*both["match"], {"claim": "a.groups", "op": "contains", "values": ["x", "y"]}]
    desk = Desk(tmp_path, mappings=[both])
    assert desk.present(token(sub="bob", team="red", a={"groups": [5, "y"]})) == "mapped"
    for content in ({"team": "red"}, {"team": "red", "a": {"groups": "y"}}, {"a": {"groups": ["y"]}}):
        assert desk.refused(token(sub="bob", **content)).code == "jwt_identity_unmapped"


# -- keys


def test_a_key_is_asked_for_again_once(tmp_path: Path) -> None:
    source = Source(SET, [*SET, public_jwk(STRANGER, kid="new")])
    desk = Desk(tmp_path, keys=source, providers=[provider(jwks_uri="https://keys.example")])
    new = sign(STRANGER, usual_claims(ISSUER), kid="new")
    assert desk.present(new) == "alice"
    assert source.fetched == [KeyAddress(ISSUER, "https://keys.example")] * 2
    desk.refused(token(kid="never"))
    assert len(source.fetched) == 3
    source.patient = True
    desk.refused(token(kid="never"))
    assert len(source.fetched) == 3
    assert desk.decision[2] == "jwt_unknown_kid"


def test_eight_keys_are_tried_for_a_token_without_kid(tmp_path: Path) -> None:
    others = [public_jwk(private_key("EdDSA"), kid=str(index)) for index in range(8)]
    unusable = [{**jwk, "use": "enc"} for jwk in others] + [{**jwk, "alg": "RS256"} for jwk in others]
    last = public_jwk(KEYS["EdDSA"])
    assert Desk(tmp_path, keys=Source([*unusable, *others[1:], last])).present(token(kid=None)) == "alice"
    refused = Desk(tmp_path, keys=Source([*others, last]))
    refused.refused(token(kid=None))
    assert refused.decision[2] == "jwt_bad_signature"


BROKEN: list[dict[str, Any]] = [
    {},
    {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
    {"kty": "EC", "crv": "P-256", "x": 5, "y": None},
    {"kty": "OKP", "crv": "X25519", "x": "AA"},
    {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
    {"kty": "RSA", "n": "AA", "e": "AQAB"},
    {"kty": "RSA", "n": ["x"], "e": {}},
    {"kty": "oct", "k": "AAAA"},
]


@pytest.mark.parametrize("jwk", BROKEN)
@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
def test_an_unusable_key_verifies_nothing(jwk: dict[str, Any], alg: str) -> None:
    assert not Key(jwk).verifies(alg, b"signed", b"signature")


def test_small_keys_are_not_usable() -> None:
    small = base64.urlsafe_b64encode((2**1023 + 1).to_bytes(128, "big")).rstrip(b"=").decode()
    key = Key({"kty": "RSA", "n": small, "e": "AQAB"})
    assert not key.verifies("RS256", b"signed", b"x" * 128)


@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
@given(signature=st.binary(max_size=600))
def test_no_signature_breaks_verification(alg: str, signature: bytes) -> None:
    key = Key(public_jwk(KEYS.get(alg, KEYS["RS256"])))
    assert not key.verifies(alg, b"signed", signature)


def test_a_private_key_in_a_set_is_used_as_a_public_one(tmp_path: Path) -> None:
    desk = Desk(tmp_path, keys=Source([public_jwk(KEYS["EdDSA"], kid="EdDSA", d="leaked")]))
    assert desk.present(token()) == "alice"


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"keys":{}}', b'{"keys":"x"}'])
def test_no_key_set(document: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        KeySet(document)


def test_members_that_are_no_keys_are_passed_over() -> None:
    keys = KeySet(orjson.dumps({"keys": [5, None, "x", {"kid": 5}, {"kid": "a", "use": 5}, {"kid": "a"}]}))
    assert len(keys.candidates("RS256", "a")) == 1
    assert len(keys.candidates("RS256", None)) == 2


# -- accepted tokens


def remembered(desk: Desk) -> Identity:
    assert desk.snapshot.identity is not None
    return desk.snapshot.identity


def test_an_accepted_token_is_not_verified_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path)
    checks: list[str] = []
    verifies: Callable[..., bool] = Key.verifies

    def counted(key: Key, alg: str, signed: bytes, signature: bytes) -> bool:
        checks.append(alg)
        return verifies(key, alg, signed, signature)

    monkeypatch.setattr(Key, "verifies", counted)
    credential = token()
    for _ in range(3):
        assert desk.present(credential) == "alice"
        assert desk.ex.principal.subject == "alice"
        assert desk.decision == ("jwt", "allowed")
    assert checks == ["EdDSA"]
    alice = desk.snapshot.caller("alice")
    assert alice is not None
    alice.disabled = True
    assert desk.refused(credential).code == "api_key_disabled"
    assert f'issuer="{ISSUER}" kid="EdDSA" subject="alice" http_method' in desk.lines[0]
    assert checks == ["EdDSA"]


def test_it_is_verified_again_with_other_keys(tmp_path: Path) -> None:
    desk = Desk(tmp_path, keys=Source(SET, []))
    credential = token()
    assert desk.present(credential) == "alice"
    asyncio.run(desk.keys.fetch(KeyAddress(ISSUER, None)))
    assert desk.refused(credential).code == "jwt_invalid"
    assert desk.decision[2] == "jwt_unknown_kid"


def test_it_is_forgotten_when_it_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path, providers=[provider(leeway_secs=5)])
    credential = token(exp=NOW + 1000)
    for later, code in ((0, None), (1000, None), (1010, "jwt_expired")):
        monkeypatch.setattr(time, "time", lambda moment=NOW + later: float(moment))
        if code is None:
            assert desk.present(credential) == "alice"
        else:
            assert desk.refused(credential).code == code
    assert remembered(desk).verified == {}


def test_memory_for_accepted_tokens_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "MAX_VERIFIED", 3)
    desk = Desk(tmp_path)
    for index in range(7):
        assert desk.present(token(n=index)) == "alice"
        assert len(remembered(desk).verified) <= 3


# -- nothing but its own error


@given(st.binary(max_size=64) | st.text(max_size=64).map(str.encode))
def test_unbase64_is_strict(data: bytes) -> None:
    encoded = base64.urlsafe_b64encode(data).rstrip(b"=")
    assert unbase64(encoded) == data
    for bad in (encoded + b"=", encoded + b"\n", b" " + encoded, encoded + b"+", encoded + b"/"):
        with pytest.raises(ValueError, match=r"."):
            unbase64(bad)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just(ISSUER),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["alg", "iss", "kid"]), inner),
    max_leaves=5,
)
CONTENT = ("iss", "exp", "aud", "nbf", "scope", "org", "realm", "sub")


@given(
    st.fixed_dictionaries({"alg": JSON}, optional={"kid": JSON}),
    st.fixed_dictionaries({}, optional=dict.fromkeys(CONTENT, JSON)),
)
def test_nothing_but_a_rejection_escapes(header: dict[str, Any], content: dict[str, Any]) -> None:
    credential = compact(header, content).encode()
    found = header_of(credential)
    if found is None:
        return
    identity = compile_identity([Row("1", msgspec.convert(GATED[0], OidcProvider))], [])
    assert identity is not None
    try:
        made = Token(credential, found)
        check_claims(made.claims, identity.provider(ISSUER), NOW)
    except Rejected:
        pass
