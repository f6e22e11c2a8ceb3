"""Body edits and extra headers of a provider key."""

import json
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw.core.errors import GatewayError
from fastgw.core.headers import RESERVED, TRACE_CONTEXT
from fastgw.providers.fields import GATEWAY, NOT_FORWARDED
from fastgw.providers.overrides import VARIABLES, Overrides


@dataclass(frozen=True)
class Constraints:
    temperature_min: float | None = None
    temperature_max: float | None = None


@dataclass(frozen=True)
class Request:
    param_renames: dict[str, str] = field(default_factory=dict)
    param_constraints: Constraints | None = None
    default_headers: dict[str, str] = field(default_factory=dict)
    forward_client_headers: tuple[str, ...] = ()
    default_body_fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Response:
    content_list_to_string: bool = False
    reasoning_field: str | None = None


def compiled(response: Response | None = None, **request: Any) -> Overrides:
    overrides = Overrides.compile(Request(**request), response, "fastgw")
    assert overrides is not None
    return overrides


@pytest.mark.parametrize(
    ("request_block", "response_block"),
    [
        (None, None),
        (Request(), Response()),
        (Request(param_constraints=Constraints()), None),
        (Request(param_renames={"a": "a"}), None),
        (Request(default_headers={"Authorization": "x", "X-Y": "${nothing}"}), Response(reasoning_field="message.x")),
    ],
)
def test_nothing_to_do(request_block: Request | None, response_block: Response | None) -> None:
    assert Overrides.compile(request_block, response_block, "fastgw") is None


RENAMES = {"max_tokens": "max_completion_tokens", "a": "b"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"max_tokens":1.50,"x":2}', b'{"max_completion_tokens":1.50,"x":2}'),
        (b'{ "x" : 1 , "a" : [1, 2] }', b'{ "x" : 1 , "b" : [1, 2] }'),
        (b'{"a":1,"b":2}', b'{"b":1}'),
        (b'{"b":2,"a":1}', b'{"b":1}'),
        (b'{"b":2 , "x":0,"a":1}', b'{ "x":0,"b":1}'),
        (b'{"a":1,"x":0 , "b":2}', b'{"b":1,"x":0 }'),
        (b'{"x":{"a":1},"b":2}', b'{"x":{"a":1},"b":2}'),
        (rb'{"\u0061":1,"\u0062":"}"}', b'{"b":1}'),
        (rb'{"q\"":"a","k\\":"\"","a":"\""}', rb'{"q\"":"a","k\\":"\"","b":"\""}'),
        (b"{}", b"{}"),
    ],
)
def test_renames(body: bytes, expected: bytes) -> None:
    assert compiled(param_renames=RENAMES).apply_body(body) == expected


def test_a_rename_of_a_name_that_needs_escapes() -> None:
    overrides = compiled(param_renames={'q"\\': "é\n"})
    assert overrides.apply_body(rb'{"x\\":0,"q\"\\" : 1}') == '{"x\\\\":0,"é\\n" : 1}'.encode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"temperature":2}', b'{"temperature":1.0}'),
        (b'{"temperature":1e400}', b'{"temperature":1.0}'),
        (b'{"temperature":' + b"9" * 5000 + b"}", b'{"temperature":1.0}'),
        (b'{"temperature":0.05}', b'{"temperature":0.1}'),
        (b'{"temperature":-3}', b'{"temperature":0.1}'),
        (b'{"temperature":0.70}', b'{"temperature":0.70}'),
        (b'{"temperature":1}', b'{"temperature":1}'),
        (b'{"temperature":null}', b'{"temperature":null}'),
        (b'{"temperature":"2"}', b'{"temperature":"2"}'),
        (b'{"x":{"temperature":2}}', b'{"x":{"temperature":2}}'),
        (b"{}", b"{}"),
    ],
)
def test_temperature(body: bytes, expected: bytes) -> None:
    assert compiled(param_constraints=Constraints(0.1, 1.0)).apply_body(body) == expected


def test_one_sided_and_contradictory_bounds() -> None:
    assert compiled(param_constraints=Constraints(None, 1.0)).apply_body(b'{"temperature":-9}') == b'{"temperature":-9}'
    assert compiled(param_constraints=Constraints(0.5)).apply_body(b'{"temperature":9}') == b'{"temperature":9}'
    # The upper bound first, then the lower one.
    assert compiled(param_constraints=Constraints(2.0, 1.0)).apply_body(b'{"temperature":9}') == b'{"temperature":2.0}'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", b'{"seed":7,"o":{"k":["\xc3\xa9",null]}}'),
        (b"{ \n} ", b'{ \n"seed":7,"o":{"k":["\xc3\xa9",null]}} '),
        (b'{"seed":null}', b'{"seed":null,"o":{"k":["\xc3\xa9",null]}}'),
        (b'{"o":1,"seed":12345678901234567890123}', b'{"o":1,"seed":12345678901234567890123}'),
        (b'{"x":"}" }', b'{"x":"}" ,"seed":7,"o":{"k":["\xc3\xa9",null]}}'),
    ],
)
def test_default_fields(body: bytes, expected: bytes) -> None:
    assert compiled(default_body_fields={"seed": 7, "o": {"k": ["é", None]}}).apply_body(body) == expected


TEXTS = '[{"type":"text","text":"a\\"é"},{"type":"image_url","image_url":{}},{"type":"text","text":"b"}]'


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (f'[{{"n":1.0,"content":{TEXTS},"z":[]}}]', '[{"n":1.0,"content":"a\\"éb","z":[]}]'),
        (f'[ {{"content":"é"}} , {{"content" : {TEXTS} }} ]', '[ {"content":"é"} , {"content" : "a\\"éb" } ]'),
        ('[{"content":[{"type":"image_url"}]}]', '[{"content":[{"type":"image_url"}]}]'),
        ('[{"content":[]},{"content":null},{},7]', '[{"content":[]},{"content":null},{},7]'),
        ('[{"content":[{"type":"text","text":5}]}]', '[{"content":[{"type":"text","text":5}]}]'),
        ('[{"content":[{"type":"text","text":""}]}]', '[{"content":""}]'),
        (
            '[{"content":[{"type":"text","text":"\\ud83d"},{"type":"text","text":"\\ude00"}]}]',
            '[{"content":"\\ud83d\\ude00"}]',
        ),
        ('[{"content":[{"type":"text","text":"\\ud83dé"}]}]', '[{"content":"\\ud83d\\u00e9"}]'),
        ('[{"content":1,"content":[{"type":"text","text":"x"}]}]', '[{"content":"x"}]'),
        ("[]", "[]"),
        ('"text"', '"text"'),
        ('{"content":[{"type":"text","text":"x"}]}', '{"content":[{"type":"text","text":"x"}]}'),
    ],
)
def test_content_lists(messages: str, expected: str) -> None:
    overrides = compiled(Response(content_list_to_string=True))
    body = f'{{"é":1,"messages":{messages},"seed":1e400}}'.encode()
    assert overrides.apply_body(body) == f'{{"é":1,"messages":{expected},"seed":1e400}}'.encode()


def test_order() -> None:
    overrides = compiled(
        Response(content_list_to_string=True),
        param_renames={"temp": "temperature", "prompt": "messages"},
        param_constraints=Constraints(temperature_max=1),
        default_body_fields={"temperature": 0.5, "temp": 3},
    )
    body = b'{"temperature":0,"temp":2,"prompt":[{"content":[{"type":"text","text":"x"}]}]}'
    assert overrides.apply_body(body) == b'{"temperature":1,"messages":[{"content":"x"}],"temp":3}'
    assert overrides.apply_body(b"{}") == b'{"temperature":0.5,"temp":3}'


def test_of_duplicates_the_last_one_counts() -> None:
    overrides = compiled(param_renames={"a": "b"}, default_body_fields={"s": 0})
    assert overrides.apply_body(b'{"a":1,"x":1.0,"a":2, "s" : 5,"s":6}') == b'{"b":2,"x":1.0,"s":6}'
    many = b"{" + b",".join(b'"s":%d' % number for number in range(20_000)) + b"}"
    assert overrides.apply_body(many) == b'{"s":19999}'


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"s":1,"s":2,}', b'{"s":1,"s":2', b'{"a":1}x', b'{"\xff":1}'])
def test_bodies_that_are_no_object(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        compiled(default_body_fields={"s": 0}).apply_body(body)
    assert caught.value.status == 400
    assert caught.value.message == "request payload is invalid: invalid JSON request body"


KEYS = st.sampled_from(["a", "b", "c", "temperature", "messages", 'q"\\é'])
VALUES = st.none() | st.integers(-5, 5) | st.text(max_size=4) | st.lists(st.integers(), max_size=2)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {
            "content": st.text(max_size=3)
            | st.lists(
                st.fixed_dictionaries({"type": st.sampled_from(["text", "image"]), "text": st.text(max_size=4)}),
                max_size=3,
            )
        }
    ),
    max_size=3,
)


def reference(
    document: dict[str, Any], renames: dict[str, str], low: float, high: float, defaults: dict[str, Any]
) -> Any:
    """The rules on Python objects."""
    for old, new in renames.items():
        if old in document and old != new:
            document[new] = document.pop(old)
    if isinstance(document.get("temperature"), int):
        document["temperature"] = max(min(document["temperature"], high), low)
    document = {**defaults, **document}
    messages = document.get("messages")
    for message in messages if isinstance(messages, list) else []:
        content = message["content"] if isinstance(message, dict) else None
        if isinstance(content, list):
            texts = [block["text"] for block in content if block["type"] == "text"]
            message["content"] = "".join(texts) if texts else content
    return document


@given(
    st.dictionaries(KEYS, VALUES),
    MESSAGES,
    st.dictionaries(KEYS, KEYS, max_size=3),
    st.dictionaries(KEYS.filter(lambda key: key != "messages"), VALUES, max_size=3),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_equals_the_reference(
    document: dict[str, Any],
    messages: list[Any],
    renames: dict[str, str],
    defaults: dict[str, Any],
    indent: int | None,
    escaped: bool,
) -> None:
    document["messages"] = messages
    body = json.dumps(document, indent=indent, ensure_ascii=escaped).encode()
    overrides = compiled(
        Response(content_list_to_string=True),
        param_renames=renames,
        param_constraints=Constraints(0, 2),
        default_body_fields=defaults,
    )
    assert orjson.loads(overrides.apply_body(body)) == reference(document, renames, 0, 2, defaults)


ALL = {name: f"<{name}>" for name in VARIABLES}


def lines(overrides: Overrides, variables: dict[str, str | None], *fields: tuple[bytes, bytes]) -> list[bytes]:
    raw = overrides.headers(variables, list(fields))
    assert raw == b"" or raw.endswith(b"\r\n")
    return raw.split(b"\r\n")[:-1]


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("plain", "plain"),
        ("${request.id}", "<request.id>"),
        ("a ${ model.name }/${\tprovider_key.id } z", "a <model.name>/<provider_key.id> z"),
        ("$5 {x} $${model.id}", "$5 {x} $<model.id>"),
        ("Müller", "Müller"),
        ("", None),
        ("  ", None),
        ("${model.key}", None),
        ("${}", None),
        ("${Model.id}", None),
        ("${model.id", None),
        ("x ${model.id} ${", None),
        ("${model.${model.id}}", None),
        ("a\rb", None),
        ("a\nb", None),
        ("a\0b", None),
    ],
)
def test_default_header_values(template: str, value: str | None) -> None:
    overrides = compiled(default_headers={"X-A": template, "X-Always": "1"})
    expected = [] if value is None else [b"X-A: " + value.encode()]
    assert lines(overrides, dict(ALL)) == [*expected, b"X-Always: 1"]


@pytest.mark.parametrize("name", sorted(VARIABLES))
@pytest.mark.parametrize("value", [None, "", "a\r\nX: y", "a\0"])
def test_a_variable_without_a_usable_value_drops_the_header(name: str, value: str | None) -> None:
    overrides = compiled(default_headers={"X-A": f"v ${{{name}}}"})
    assert lines(overrides, {**ALL, name: value}) == []
    assert lines(overrides, {}) == []
    assert lines(overrides, dict(ALL)) == [f"X-A: v <{name}>".encode()]


def test_default_headers_cannot_set_what_is_the_gateways() -> None:
    names = {name.title() for name in RESERVED | GATEWAY | TRACE_CONTEXT} | {"X-FastGW-Request-Id", "Bad Name", ""}
    overrides = compiled(default_headers={**dict.fromkeys(names, "v"), "X-FastGW-Tag": "t"})
    assert lines(overrides, {}) == [b"X-FastGW-Tag: t"]


def test_forwarding() -> None:
    overrides = compiled(forward_client_headers=("X-Trace*", "OpenAI-Beta", "*-tail", "a*b*"))
    assert lines(
        overrides,
        {},
        (b"x-trace", b"1"),
        (b"X-TRACE-ID", b"2"),
        (b"x-trace-id", b"3"),
        (b"openai-beta", b"assistants=v2"),
        (b"openai-beta-x", b"no"),
        (b"my-tail", b"\xff\xe9"),
        (b"axb", b"no"),
        (b"x-other", b"no"),
    ) == [b"x-trace: 1", b"x-trace-id: 2", b"openai-beta: assistants=v2", b"my-tail: \xff\xe9"]


def test_what_is_never_forwarded() -> None:
    overrides = compiled(forward_client_headers=("*", "authorization", "Cookie"))
    names = [*RESERVED, *GATEWAY, *NOT_FORWARDED, "x-fastgw-anything", "x-stainless-lang", "X-FastGW-Request-Id"]
    fields = [(name.encode(), b"v") for name in names] + [(name.title().encode(), b"v") for name in names]
    assert lines(overrides, {}, *fields, (b"x-fastgwx", b"v")) == [b"x-fastgwx: v"]


def test_the_namespace_is_the_configured_one() -> None:
    overrides = Overrides.compile(Request(forward_client_headers=("x-*",)), None, "Acme")
    assert overrides is not None
    assert lines(overrides, {}, (b"x-acme-tag", b"v"), (b"x-fastgw-tag", b"v")) == [b"x-fastgw-tag: v"]


def test_a_default_header_wins_unless_it_was_dropped() -> None:
    overrides = compiled(default_headers={"X-A": "${model.id}"}, forward_client_headers=("x-a",))
    assert lines(overrides, {"model.id": "m"}, (b"x-a", b"caller")) == [b"X-A: m"]
    assert lines(overrides, {}, (b"x-a", b"caller")) == [b"x-a: caller"]


def test_what_is_forwarded_is_known_beforehand() -> None:
    overrides = compiled(forward_client_headers=("Anthropic-*", "cookie"), default_headers={"Anthropic-Own": "x"})
    assert overrides.forwards("anthropic-beta")
    for name in ("anthropic-own", "cookie", "x-other"):
        assert not overrides.forwards(name)
    assert not compiled(default_headers={"anthropic-beta": "x"}).forwards("anthropic-beta")


@pytest.mark.parametrize("code", range(256))
def test_every_byte_in_forwarded_and_rendered_values(code: int) -> None:
    overrides = compiled(default_headers={"X-D": "a${model.name}b"}, forward_client_headers=("*",))
    raw = bytes([code])
    got = lines(overrides, {"model.name": chr(code)}, (b"x-f", b"a" + raw + b"b"), (b"n" + raw + b"n", b"v"))
    legal = code == 9 or 0x20 <= code != 0x7F
    assert (f"X-D: a{chr(code)}b".encode() in got) is legal
    assert (b"x-f: a" + raw + b"b" in got) is legal
    token = chr(code) in "!#$%&'*+-.^_`|~" or (code < 128 and chr(code).isalnum())
    assert (b"n" + raw.lower() + b"n: v" in got) is token
    assert len(got) == 2 * legal + token


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("delta.reasoning_text", (b"reasoning_text",)),
        ("delta.a.b", (b"a", b"b")),
        ("delta", ()),
        ("delta.", ()),
        ("delta..a", ()),
        ("message.a", ()),
        ("", ()),
    ],
)
def test_reasoning_path(name: str, path: tuple[bytes, ...]) -> None:
    assert compiled(Response(reasoning_field=name), default_body_fields={"x": 1}).reasoning_path == path
