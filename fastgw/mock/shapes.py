"""The documents of the OpenAI API: chat completions, completions, embeddings, models, errors, and their streams.

A document here lacks its first keys, ``id``, ``object`` and ``created``: they differ from answer to answer and are
put in front of the encoded rest (plan.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import content
from .script import Script

FINGERPRINT = "fp_fa57600d00"
MODELS = ("mock-gpt", "mock-gpt-mini", "mock-embedding")
_MODELS_CREATED = 1_735_689_600
_DEFAULT_DIMENSIONS = 1536
_MOST_CHOICES = 128
_LOGPROB = -0.015625
_NO_LOGPROBS: dict[str, Any] = {"logprobs": None}

_ERRORS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The mock was told to refuse this request."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", "unsupported_country_region_territory", "Access is not allowed."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist or you do not have access to it."),
    413: ("invalid_request_error", "request_too_large", "The request is too large."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    503: ("service_unavailable_error", None, "The engine is currently overloaded, please try again later."),
}


class Refusal(Exception):
    """The caller's mistake, with the error document to answer with."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.document = error_document(message, "invalid_request_error", param, code)


@dataclass(slots=True)
class Documents:
    """One document, or the events of a stream. Without `prefix` they carry no id and are complete as they are."""

    items: list[dict[str, Any]]
    prefix: str = ""
    kind: str = ""
    stream: bool = field(default=False)
    named: bool = False
    """Events carry their `type` in an event line, and none marks the end."""
    marker: bool = True
    """`[DONE]` marks the end of events that are not named."""
    binary: bool = False
    """Events are messages of Bedrock's binary stream."""
    fields: tuple[tuple[str, str], ...] = ()
    """Response fields of its own."""


def error_document(message: str, kind: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def scripted_error(script: Script) -> dict[str, Any]:
    """The error that the script asks for; what it leaves open is what the API says with that status."""
    fallback = ("invalid_request_error", None, "The request failed.")
    if script.status >= 500:
        fallback = ("server_error", None, "The server had an error while processing your request.")
    kind, code, message = _ERRORS.get(script.status, fallback)
    if isinstance(script.error, dict):
        return script.error if "error" in script.error else {"error": script.error}
    return error_document(script.error or message, kind, None, code)


def usage(script: Script, prompt: int, completion: int) -> dict[str, Any] | None:
    """The usage object of a completion; None when the script wants none."""
    if isinstance(script.usage, dict):
        return script.usage
    if not script.usage:
        return None
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _choices(request: Mapping[str, Any]) -> int:
    count = request.get("n", 1)
    if count is None:
        return 1
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= _MOST_CHOICES:
        raise Refusal(400, f"Invalid 'n': expected an integer from 1 to {_MOST_CHOICES}.", "n", "invalid_value")
    return count


def _wants_usage(request: Mapping[str, Any]) -> bool:
    options = request.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _tier(request: Mapping[str, Any]) -> str:
    tier = request.get("service_tier")
    return tier if isinstance(tier, str) and tier != "auto" else "default"


def _token_logprobs(request: Mapping[str, Any], pieces: list[str]) -> dict[str, Any]:
    """Chat: the ``logprobs`` member for some content pieces, null unless the request asked for it."""
    if request.get("logprobs") is not True:
        return _NO_LOGPROBS
    alternatives = request.get("top_logprobs") or 0
    tokens = []
    for piece in pieces:
        entry = {"token": piece, "logprob": _LOGPROB, "bytes": list(piece.encode())}
        others = [
            {"token": f"{piece}{i or ''}", "logprob": _LOGPROB - i, "bytes": list(f"{piece}{i or ''}".encode())}
            for i in range(alternatives)
        ]
        tokens.append({**entry, "top_logprobs": others})
    return {"logprobs": {"content": tokens, "refusal": None}}


def chat(request: Mapping[str, Any], script: Script) -> Documents:
    """The answer to a chat completion request. Raises Refusal."""
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refusal(400, "Missing required parameter: 'messages'.", "messages", "missing_required_parameter")
    calls = content.tool_calls(request, script)
    count = _choices(request)
    silent = bool(calls) and script.content is None
    texts = [[] if silent else content.pieces(request, script, choice) for choice in range(count)]
    reason = script.finish or ("tool_calls" if calls else "stop")
    spoken = sum(map(len, texts)) + count * sum(content.token_estimate(c["function"]["arguments"]) for c in calls)
    totals = usage(script, content.message_tokens(messages), spoken)
    if request.get("stream") is True:
        return _chat_stream(request, texts, calls, totals, script.reasoning, reason)
    choices = []
    for index, pieces in enumerate(texts):
        message: dict[str, Any] = {"role": "assistant", "content": None if silent else "".join(pieces)}
        if calls:
            message["tool_calls"] = calls
        if script.reasoning is not None:
            message["reasoning_content"] = script.reasoning
        message.update(refusal=None, annotations=[])
        choices.append(
            {"index": index, "message": message, **_token_logprobs(request, pieces), "finish_reason": reason}
        )
    document: dict[str, Any] = {"model": request["model"], "choices": choices}
    if totals is not None:
        document["usage"] = totals
    document.update(service_tier=_tier(request), system_fingerprint=FINGERPRINT)
    return Documents([document], "chatcmpl-", "chat.completion")


def _chat_stream(
    request: Mapping[str, Any],
    texts: list[list[str]],
    calls: list[dict[str, Any]],
    totals: dict[str, Any] | None,
    reasoning: str | None,
    reason: str,
) -> Documents:
    common = {"model": request["model"], "service_tier": _tier(request), "system_fingerprint": FINGERPRINT}
    tail: dict[str, Any] = {"usage": None} if _wants_usage(request) and totals is not None else {}

    def chunk(index: int, delta: dict[str, Any], pieces: list[str], reason: str | None = None) -> dict[str, Any]:
        logprobs = _token_logprobs(request, pieces) if pieces else _NO_LOGPROBS
        return {**common, "choices": [{"index": index, "delta": delta, **logprobs, "finish_reason": reason}], **tail}

    opening = {"role": "assistant", "content": None if calls and not any(texts) else "", "refusal": None}
    events = [chunk(index, opening, []) for index in range(len(texts))]
    for part in content.cut(reasoning, content.token_estimate(reasoning)) if reasoning else []:
        events += [chunk(index, {"reasoning_content": part}, []) for index in range(len(texts))]
    for position in range(max(map(len, texts))):
        for index, pieces in enumerate(texts):
            if position < len(pieces):
                events.append(chunk(index, {"content": pieces[position]}, [pieces[position]]))
    for delta in _call_deltas(calls):
        events += [chunk(index, delta, []) for index in range(len(texts))]
    events += [chunk(index, {}, [], reason) for index in range(len(texts))]
    if tail:
        events.append({**common, "choices": [], "usage": totals})
    return Documents(events, "chatcmpl-", "chat.completion.chunk", stream=True)


def _call_deltas(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each call opens with its id and name; its arguments follow in fragments of about a token."""
    deltas: list[dict[str, Any]] = []
    for position, call in enumerate(calls):
        function = call["function"]
        opened = {**call, "function": {"name": function["name"], "arguments": ""}}
        deltas.append({"tool_calls": [{"index": position, **opened}]})
        arguments = function["arguments"]
        fragments = content.cut(arguments, content.token_estimate(arguments))
        deltas += [{"tool_calls": [{"index": position, "function": {"arguments": part}}]} for part in fragments]
    return deltas


def _prompts(request: Mapping[str, Any], name: str) -> list[Any]:
    """The inputs of a request: a text, a token array, or a list of either."""
    value = request.get(name)
    if isinstance(value, str) and value:
        return [value]
    if isinstance(value, list) and value:
        if all(isinstance(item, int) and not isinstance(item, bool) for item in value):
            return [value]
        if all(isinstance(item, str) and item for item in value):
            return value
        if all(isinstance(item, list) and item and all(isinstance(t, int) for t in item) for item in value):
            return value
    code = "missing_required_parameter" if value is None else "invalid_value"
    raise Refusal(400, f"'{name}' must be a text, a token array or a list of either, and not empty.", name, code)


def completion(request: Mapping[str, Any], script: Script) -> Documents:
    """The answer to a legacy completion request: n choices for each prompt. Raises Refusal."""
    prompts = _prompts(request, "prompt")
    texts = [content.pieces(request, script, choice) for choice in range(_choices(request) * len(prompts))]
    totals = usage(script, content.token_estimate(prompts), sum(map(len, texts)))
    common = {"model": request["model"], "system_fingerprint": FINGERPRINT}

    def choice(index: int, pieces: list[str], reason: str | None) -> dict[str, Any]:
        logprobs = _legacy_logprobs(request, pieces)
        return {"text": "".join(pieces), "index": index, "logprobs": logprobs, "finish_reason": reason}

    if request.get("stream") is not True:
        document: dict[str, Any] = {**common, "choices": [choice(i, pieces, "stop") for i, pieces in enumerate(texts)]}
        if totals is not None:
            document["usage"] = totals
        return Documents([document], "cmpl-", "text_completion")
    tail: dict[str, Any] = {"usage": None} if _wants_usage(request) and totals is not None else {}
    events: list[dict[str, Any]] = []
    for position in range(max(map(len, texts))):
        for index, pieces in enumerate(texts):
            if position < len(pieces):
                events.append({**common, "choices": [choice(index, [pieces[position]], None)], **tail})
    events += [{**common, "choices": [choice(index, [], "stop")], **tail} for index in range(len(texts))]
    if tail:
        events.append({**common, "choices": [], "usage": totals})
    return Documents(events, "cmpl-", "text_completion", stream=True)


def _legacy_logprobs(request: Mapping[str, Any], pieces: list[str]) -> dict[str, Any] | None:
    if request.get("logprobs") is None or not pieces:
        return None
    offsets = [sum(map(len, pieces[:i])) for i in range(len(pieces))]
    top = [{piece: _LOGPROB} for piece in pieces]
    values = [_LOGPROB] * len(pieces)
    return {"tokens": pieces, "token_logprobs": values, "top_logprobs": top, "text_offset": offsets}


def embeddings(request: Mapping[str, Any], script: Script) -> Documents:
    """The answer to an embeddings request. Raises Refusal."""
    inputs = _prompts(request, "input")
    encoding = request.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise Refusal(400, "'encoding_format' must be float or base64.", "encoding_format", "invalid_value")
    dimensions = request.get("dimensions") or _DEFAULT_DIMENSIONS
    if not isinstance(dimensions, int) or not 1 <= dimensions <= 8192:
        raise Refusal(400, "'dimensions' must be an integer from 1 to 8192.", "dimensions", "invalid_value")
    data = [
        {"object": "embedding", "index": index, "embedding": content.vector(item, dimensions, encoding)}
        for index, item in enumerate(inputs)
    ]
    document: dict[str, Any] = {"object": "list", "data": data, "model": request["model"]}
    if isinstance(script.usage, dict):
        document["usage"] = script.usage
    elif script.usage:
        count = content.token_estimate(inputs)
        document["usage"] = {"prompt_tokens": count, "total_tokens": count}
    return Documents([document])


def models(name: str) -> Documents:
    """The model list, or one model of it by name. Raises Refusal."""
    cards = {m: {"id": m, "object": "model", "created": _MODELS_CREATED, "owned_by": "fastgw-mock"} for m in MODELS}
    if not name:
        return Documents([{"object": "list", "data": list(cards.values())}])
    if name not in cards:
        raise Refusal(404, f"The model '{name}' does not exist.", "model", "model_not_found")
    return Documents([cards[name]])
