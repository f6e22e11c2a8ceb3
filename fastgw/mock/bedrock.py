"""The documents of Amazon Bedrock: Converse, its streams, Claude and embeddings by way of invoke, errors.

Like the real one it refuses members and blocks that it does not know, turns that do not alternate, tool results that
answer no call, and blank texts. Directives come in `additionalModelRequestFields` where a body has no place for them.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import orjson

from . import content, messages
from .script import Script
from .shapes import Documents, Refusal

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_MEMBERS = frozenset(
    {
        *("messages", "system", "inferenceConfig", "toolConfig", "guardrailConfig", "additionalModelRequestFields"),
        *("promptVariables", "additionalModelResponseFieldPaths", "requestMetadata", "performanceConfig"),
        *("serviceTier", "outputConfig", "model", "mock"),
    }
)
_INFERENCE = frozenset({"maxTokens", "temperature", "topP", "stopSequences"})
_BLOCKS = frozenset(
    {
        *("text", "image", "document", "video", "toolUse", "toolResult", "guardContent", "cachePoint"),
        *("reasoningContent", "citationsContent", "searchResult"),
    }
)
_IMAGES = ("png", "jpeg", "gif", "webp")
_ERRORS: dict[int, tuple[str, str]] = {
    400: ("ValidationException", "The mock was told to refuse this request."),
    401: ("UnrecognizedClientException", "The security token included in the request is invalid."),
    403: ("AccessDeniedException", "User: arn:aws:iam::123456789012:user/mock is not authorized."),
    404: ("ResourceNotFoundException", "Could not resolve the foundation model."),
    408: ("ModelTimeoutException", "The model took too long."),
    424: ("ModelErrorException", "The model failed."),
    429: ("ThrottlingException", "Too many requests, please wait before trying again."),
    500: ("InternalServerException", "An internal error has occurred."),
    503: ("ServiceUnavailableException", "The service is unavailable."),
}
_SIGNATURE = "bW9jay1zaWduYXR1cmU="
_DIMENSIONS = 8


def failed(status: int, message: str | None = None, error: dict[str, Any] | None = None) -> Documents:
    """An error: its name is in the head, and in the body only if `error` says so."""
    kind, words = _ERRORS.get(status, _ERRORS[400 if status < 500 else 500])
    document = error if error is not None else {"message": message or words}
    return Documents([document], fields=(("x-amzn-errortype", f"{kind}:http://internal.amazon.com/coral/"),))


def scripted_error(script: Script) -> Documents:
    """The error that the script asks for; what it leaves open is what the API says with that status."""
    if isinstance(script.error, dict):
        return failed(script.status, error=script.error)
    return failed(script.status, script.error)


def framed(event: object) -> bytes:
    """One message of a stream. An object has one member: the event type, or `exception` or `error`, a blank, and what
    that is called; a text is bytes as they are, in Latin-1."""
    if isinstance(event, str):
        return event.encode("latin-1")
    if not isinstance(event, dict) or len(event) != 1:
        raise TypeError("an event is an object with one member, or a text")
    [(name, payload)] = event.items()
    kind, _, called = str(name).rpartition(" ")
    kind = kind or "event"
    own = {"event": ":event-type", "exception": ":exception-type", "error": ":error-code"}[kind]
    headers = b"".join(
        struct.pack(">B", len(key)) + key.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
        for key, value in ((own, called), (":content-type", "application/json"), (":message-type", kind))
    )
    body = orjson.dumps(payload)
    prelude = struct.pack(">II", len(headers) + len(body) + 16, len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack(">I", zlib.crc32(message))


def converse(request: Mapping[str, Any], script: Script) -> Documents:
    """The answer to Converse. Raises Refusal."""
    blocks, ending, usage = _answer(request, script)
    document: dict[str, Any] = {
        "metrics": {"latencyMs": 1},
        "output": {"message": {"role": "assistant", "content": blocks}},
        **ending,
    }
    return Documents([document if usage is None else {**document, "usage": usage}])


def stream(request: Mapping[str, Any], script: Script) -> Documents:
    """The answer to ConverseStream. Raises Refusal."""
    blocks, ending, usage = _answer(request, script)
    events: list[dict[str, Any]] = [{"messageStart": {"role": "assistant"}}]
    for index, block in enumerate(blocks):
        place = {"contentBlockIndex": index}
        if "toolUse" in block:
            use = {name: block["toolUse"][name] for name in ("toolUseId", "name")}
            events.append({"contentBlockStart": {**place, "start": {"toolUse": use}}})
        events += [
            {"contentBlockDelta": {**place, "delta": delta, "p": "abcdefgh"[: index + 1]}}
            for delta in _deltas(block, max(1, script.tokens or 4))
        ]
        events.append({"contentBlockStop": place})
    events.append({"messageStop": ending})
    if usage is not None:
        events.append({"metadata": {"metrics": {"latencyMs": 1}, "usage": usage}})
    return Documents(events, stream=True, binary=True)


def invoke(request: dict[str, Any], script: Script) -> Documents:
    """The answer of a model to its own kind of request. Raises Refusal."""
    model = request["model"]
    if "titan-embed" in model:
        return _titan(request)
    if "cohere.embed" in model:
        return _cohere(request)
    if request.pop("anthropic_version", None) != "bedrock-2023-05-31":
        raise Refusal(400, "anthropic_version: Field required")
    if "stream" in request:
        raise Refusal(400, "stream: Extra inputs are not permitted")
    return messages.messages(request, script)


def _titan(request: Mapping[str, Any]) -> Documents:
    text, size = request.get("inputText"), request.get("dimensions")
    if not isinstance(text, str) or not text:
        raise Refusal(400, "Malformed input request: #/inputText: expected minLength: 1")
    if size is not None and "v2" not in request["model"]:
        raise Refusal(400, "Malformed input request: extraneous key [dimensions] is not permitted")
    vector = content.vector(text, size or _DIMENSIONS, "float")
    return Documents([{"embedding": vector, "inputTextTokenCount": content.token_estimate(text)}])


def _cohere(request: Mapping[str, Any]) -> Documents:
    texts = request.get("texts")
    if not isinstance(texts, list) or not texts or request.get("input_type") != "search_document":
        raise Refusal(400, "Malformed input request")
    vectors = [content.vector(text, _DIMENSIONS, "float") for text in texts]
    return Documents([{"id": "mock", "texts": texts, "embeddings": vectors, "response_type": "embeddings_floats"}])


def _answer(
    request: Mapping[str, Any], script: Script
) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any] | None]:
    """Blocks, what ends the message, usage."""
    _check(request)
    calls = _calls(request, script)
    pieces = [] if calls and script.content is None else content.pieces(_asked(request), script, 0)
    blocks: list[dict[str, Any]] = []
    if script.reasoning is not None:
        told = {"text": script.reasoning, "signature": _SIGNATURE}
        blocks.append({"reasoningContent": {"reasoningText": told}})
    if pieces or not calls:
        blocks.append({"text": "".join(pieces)})
    blocks += calls
    ending = {"stopReason": script.finish or ("tool_use" if calls else "end_turn")}
    if isinstance(script.usage, dict):
        return blocks, ending, script.usage
    texts = [block["text"] for turn in request["messages"] for block in turn["content"] if "text" in block]
    prompt = sum(map(content.token_estimate, texts)) + 3
    spoken = len(pieces) + sum(content.token_estimate(orjson.dumps(call).decode()) for call in calls)
    usage = {"inputTokens": prompt, "outputTokens": spoken, "totalTokens": prompt + spoken}
    return blocks, ending, usage if script.usage else None


def _check(request: Mapping[str, Any]) -> None:
    for name in (*request.keys() - _MEMBERS, *(request.get("inferenceConfig") or {}).keys() - _INFERENCE):
        raise Refusal(400, f"Unknown parameter: {name}")
    turns = request.get("messages")
    if not isinstance(turns, list) or not turns:
        raise Refusal(400, "The messages field is required.")
    spoken = "assistant"
    for index, turn in enumerate(turns):
        if turn["role"] == spoken:
            raise Refusal(400, "A conversation must alternate between user and assistant roles.")
        spoken = turn["role"]
        for block in turn["content"]:
            _check_block(block, f"messages.{index}")
    for tool in (request.get("toolConfig") or {}).get("tools", ()):
        if "toolSpec" in tool and not isinstance(tool["toolSpec"]["inputSchema"]["json"], dict):
            raise Refusal(400, "toolConfig.tools: inputSchema.json must be an object")


def _check_block(block: dict[str, Any], where: str) -> None:
    [kind] = block
    if kind not in _BLOCKS:
        raise Refusal(400, f"{where}: unknown block {kind}")
    if kind == "text" and not block["text"].strip():
        raise Refusal(400, f"{where}: The text field in the ContentBlock object is blank.")
    if kind == "image" and block["image"]["format"] not in _IMAGES:
        raise Refusal(400, f"{where}: unknown image format")
    if kind in ("image", "document"):
        base64.b64decode(block[kind]["source"]["bytes"], validate=True)
    for inner in block["toolResult"]["content"] if kind == "toolResult" else ():
        _check_block(inner, where)


def _calls(request: Mapping[str, Any], script: Script) -> list[dict[str, Any]]:
    config = request.get("toolConfig") or {}
    specs = [tool["toolSpec"] for tool in config.get("tools", ()) if "toolSpec" in tool]
    choice = config.get("toolChoice") or {}
    if "tool" in choice:
        specs = [spec for spec in specs if spec["name"] == choice["tool"]["name"]]
    if choice and not script.tool_calls:
        script = script.calling(1)
    tools = [
        {"type": "function", "function": {"name": spec["name"], "parameters": spec["inputSchema"]["json"]}}
        for spec in specs
    ]
    made = content.tool_calls({"tools": tools, "messages": request["messages"]}, script) if specs else []
    return [
        {
            "toolUse": {
                "toolUseId": call["id"].replace("call_", "tooluse_"),
                "name": call["function"]["name"],
                "input": orjson.loads(call["function"]["arguments"]),
            }
        }
        for call in made
    ]


def _asked(request: Mapping[str, Any]) -> dict[str, Any]:
    """The wanted format where the content generator looks for it."""
    wanted = (request.get("outputConfig") or {}).get("textFormat")
    if not isinstance(wanted, dict):
        return {}
    schema = orjson.loads(wanted["structure"]["jsonSchema"]["schema"])
    return {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}


def _deltas(block: dict[str, Any], parts: int) -> list[dict[str, Any]]:
    """What a block grows by."""
    if "text" in block:
        return [{"text": piece} for piece in content.cut(block["text"], content.token_estimate(block["text"]))]
    if "reasoningContent" in block:
        told = block["reasoningContent"]["reasoningText"]
        deltas = [{"reasoningContent": {"text": part}} for part in content.cut(told["text"], parts)]
        return [*deltas, {"reasoningContent": {"signature": told["signature"]}}]
    given = block["toolUse"]["input"]
    fragments = list(content.cut(orjson.dumps(given).decode(), parts)) if given else []
    return [{"toolUse": {"input": part}} for part in fragments]
