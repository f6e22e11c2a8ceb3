"""Completions and embeddings through the real gateway, with the official SDK."""

import base64
import json
import struct
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from openai import BadRequestError, InternalServerError, OpenAI, RateLimitError

from tests.support.gateway import Gateway, gateway, resources
from tests.support.mock import Mock, mock_upstream

pytestmark = pytest.mark.any_workers


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    with mock_upstream(record=50) as running:
        yield running


@pytest.fixture(scope="module")
def running(mock: Mock) -> Iterator[Gateway]:
    with gateway(resources(mock.url)) as process:
        yield process


@pytest.fixture
def client(running: Gateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=running.url, api_key=running.api_key, max_retries=0) as sdk:
        yield sdk


def last_body(mock: Mock) -> dict[str, object]:
    body: dict[str, object] = json.loads(mock.requests()[-1]["body"])
    return body


def test_a_model_without_a_name_is_no_path(running: Gateway) -> None:
    assert running.get("/v1/models/", headers={"authorization": f"Bearer {running.api_key}"}) == (404, "")


def test_an_error_body_that_cannot_be_unpacked_keeps_its_status(client: OpenAI) -> None:
    """Its status decides, whatever the body is."""
    script = {"mock": {"status": 429, "headers": {"content-encoding": "br"}}}
    with pytest.raises(RateLimitError) as caught:
        client.completions.create(model="fast-chat", prompt="x", extra_body=script)
    assert caught.value.type == "upstream_error"


def post(running: Gateway, path: str, body: bytes) -> tuple[int, bytes]:
    headers = {"authorization": f"Bearer {running.api_key}", "content-type": "application/json"}
    request = urllib.request.Request(running.base + path, body, headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.status, answer.read()


class TestCompletions:
    def test_answer_is_the_upstreams(self, client: OpenAI, mock: Mock) -> None:
        answer = client.completions.create(model="fast-chat", prompt="once", max_tokens=5, n=2)
        assert answer.model == "mock-gpt"
        assert len(answer.choices) == 2
        assert answer.usage is not None and answer.usage.prompt_tokens > 0
        assert last_body(mock) == {"model": "mock-gpt", "prompt": "once", "max_tokens": 5, "n": 2}

    def test_stream_hides_the_usage_that_nobody_asked_for(self, client: OpenAI, mock: Mock) -> None:
        chunks = list(client.completions.create(model="fast-chat", prompt="once", stream=True))
        assert {chunk.model for chunk in chunks} == {"mock-gpt"}
        assert all(chunk.choices for chunk in chunks)
        assert all(chunk.usage is None for chunk in chunks)
        assert last_body(mock)["stream_options"] == {"include_usage": True}

    def test_stream_with_usage(self, client: OpenAI) -> None:
        options = {"include_usage": True}
        stream = client.completions.create(model="fast-chat", prompt="x", stream=True, stream_options=options)
        assert list(stream)[-1].usage is not None

    def test_other_fields_may_be_anything(self, running: Gateway, mock: Mock) -> None:
        status, _ = post(running, "/v1/completions", b'{"model":"fast-chat","prompt":[1,2],"temperature":"hot"}')
        assert status == 200
        assert last_body(mock) == {"model": "mock-gpt", "prompt": [1, 2], "temperature": "hot"}

    def test_stream_options_that_say_it_twice(self, client: OpenAI, running: Gateway) -> None:
        twice = b'{"model":"fast-chat","prompt":"x","stream_options":{"include_usage":true,"include_usage":false}}'
        with pytest.raises(urllib.error.HTTPError) as caught:
            post(running, "/v1/completions", twice)
        with caught.value as answer:
            assert answer.code == 400
            assert json.loads(answer.read())["error"]["param"] == "stream_options.include_usage"

    @pytest.mark.parametrize(
        ("body", "code"),
        [({}, "missing_parameter"), ({"model": None}, "invalid_parameter"), ({"model": 5}, "invalid_parameter")],
    )
    def test_missing_model(self, client: OpenAI, body: dict[str, object], code: str) -> None:
        with pytest.raises(BadRequestError) as caught:
            client.post("/completions", body={"prompt": "x", **body}, cast_to=object)
        assert "missing `model` field" in caught.value.message
        assert (caught.value.param, caught.value.code) == ("model", code)

    def test_no_json_from_upstream(self, client: OpenAI) -> None:
        with pytest.raises(InternalServerError) as caught:
            client.completions.create(model="fast-chat", prompt="x", extra_body={"mock": {"raw": "<html>"}})
        assert caught.value.status_code == 502
        assert caught.value.type == "upstream_decode_error"


class TestEmbeddings:
    def test_floats_batch_dimensions(self, client: OpenAI, mock: Mock) -> None:
        answer = client.embeddings.create(model="fast-chat", input=["a", "b"], dimensions=8, encoding_format="float")
        assert [len(item.embedding) for item in answer.data] == [8, 8]
        assert answer.model == "mock-gpt"
        sent = {"model": "mock-gpt", "input": ["a", "b"], "dimensions": 8, "encoding_format": "float"}
        assert last_body(mock) == sent

    def test_base64_is_the_upstreams_choice(self, client: OpenAI, running: Gateway) -> None:
        body = b'{"model":"fast-chat","input":"a","encoding_format":"base64","dimensions":4}'
        document = json.loads(post(running, "/v1/embeddings", body)[1])
        raw = base64.b64decode(document["data"][0]["embedding"])
        # The SDK asks for base64 by itself and unpacks it.
        unpacked = client.embeddings.create(model="fast-chat", input="a", dimensions=4).data[0].embedding
        assert unpacked == pytest.approx(struct.unpack("<4f", raw))

    def test_token_arrays_go_along(self, client: OpenAI, mock: Mock) -> None:
        client.embeddings.create(model="fast-chat", input=[[1, 2, 3], [4]])
        assert last_body(mock)["input"] == [[1, 2, 3], [4]]

    def test_missing_usage_is_added(self, client: OpenAI) -> None:
        answer = client.embeddings.create(model="fast-chat", input="a", extra_body={"mock": {"usage": False}})
        assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (0, 0)

    @pytest.mark.parametrize(
        ("field", "value"),
        [("input", 5), ("input", ["a", 1]), ("input", None), ("encoding_format", 1), ("dimensions", 1.5)],
    )
    def test_wrong_types_name_the_parameter(self, client: OpenAI, mock: Mock, field: str, value: object) -> None:
        before = mock.stats()["requests"]
        with pytest.raises(BadRequestError) as caught:
            client.post("/embeddings", body={"model": "fast-chat", "input": "a", field: value}, cast_to=object)
        assert caught.value.param == field
        assert caught.value.code == "invalid_parameter"
        assert mock.stats()["requests"] == before

    def test_numbers_of_any_length_go_along(self, running: Gateway, mock: Mock) -> None:
        number = "9" * 5000
        # Whether such a number is a token is for the upstream to say; this one says no.
        with pytest.raises(urllib.error.HTTPError) as caught:
            post(running, "/v1/embeddings", f'{{"model":"fast-chat","input":[1,{number}]}}'.encode())
        with caught.value as answer:
            assert json.load(answer)["error"]["type"] == "upstream_error"
        assert number in mock.requests()[-1]["body"]

    def test_call_id_is_for_chat_only(self, client: OpenAI) -> None:
        raw = client.embeddings.with_raw_response.create(model="fast-chat", input="a")
        assert "x-fastgw-call-id" not in raw.headers
        assert "x-fastgw-request-id" in raw.headers
