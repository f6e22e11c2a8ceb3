"""The documents of Vertex AI: Gemini's generateContent, its streams, predictions of embeddings, errors.

Like the real one it refuses members that it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from . import content
from .script import Script
from .shapes import Documents, Refusal

_MEMBERS = frozenset(
    {
        *("contents", "systemInstruction", "generationConfig", "tools", "toolConfig", "safetySettings"),
        *("cachedContent", "labels", "model", "mock"),
    }
)
_ERRORS: dict[int, tuple[str, str]] = {
    400: ("INVALID_ARGUMENT", "The mock was told to refuse this request."),
    401: ("UNAUTHENTICATED", "Request had invalid authentication credentials."),
    403: ("PERMISSION_DENIED", "Permission denied on resource project."),
    404: ("NOT_FOUND", "Publisher model was not found."),
    429: ("RESOURCE_EXHAUSTED", "Resource exhausted, please try again later."),
    500: ("INTERNAL", "Internal error encountered."),
    503: ("UNAVAILABLE", "The service is currently unavailable."),
}
_FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}


def error_document(status: int, kind: str, message: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "status": kind}}


def translated(document: dict[str, Any], status: int) -> dict[str, Any]:
    """An error document of the OpenAI shape as one of this API."""
    kind = _ERRORS.get(status, _ERRORS[400 if status < 500 else 500])[0]
    return error_document(status, kind, document["error"]["message"])


def scripted_error(script: Script) -> dict[str, Any]:
    """The error that the script asks for; what it leaves open is what the API says with that status."""
    kind, message = _ERRORS.get(script.status, _ERRORS[400 if script.status < 500 else 500])
    if isinstance(script.error, dict):
        return script.error if "error" in script.error else {"error": script.error}
    return error_document(script.status, kind, script.error or message)


def generate(request: Mapping[str, Any], script: Script) -> Documents:
    """The answer to generateContent: as many candidates as wanted. Raises Refusal."""
    document = _document(_parts(request, script), request, script)
    wanted = (request.get("generationConfig") or {}).get("candidateCount", 1)
    if not isinstance(wanted, int) or not 1 <= wanted <= 8:
        raise Refusal(400, "generationConfig.candidateCount: must be from 1 to 8")
    document["candidates"] = [{**document["candidates"][0], "index": index} for index in range(wanted)]
    return Documents([document])


def stream(request: Mapping[str, Any], script: Script) -> Documents:
    """The answer to streamGenerateContent: a part per document, the reason and the counters with the last. Raises
    Refusal."""
    if (request.get("generationConfig") or {}).get("candidateCount", 1) != 1:
        raise Refusal(400, "generationConfig.candidateCount: streams have one candidate")
    parts = _parts(request, script)
    whole = _document(parts, request, script)
    events = [{"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}]} for part in parts[:-1]]
    last = _document(parts[-1:], request, script)
    if "usageMetadata" in whole:
        last["usageMetadata"] = whole["usageMetadata"]
    return Documents([*events, last], stream=True, marker=False)


def predict(request: Mapping[str, Any], script: Script) -> Documents:
    """Embeddings, one per instance. Raises Refusal."""
    instances = request.get("instances")
    if not isinstance(instances, list) or not instances:
        raise Refusal(400, "instances: required")
    size = (request.get("parameters") or {}).get("outputDimensionality") or 8
    return Documents(
        [
            {
                "predictions": [
                    {
                        "embeddings": {
                            "values": content.vector(one["content"], size, "float"),
                            "statistics": {"token_count": content.token_estimate(one["content"]), "truncated": False},
                        }
                    }
                    for one in instances
                ]
            }
        ]
    )


def _parts(request: Mapping[str, Any], script: Script) -> list[dict[str, Any]]:
    contents = request.get("contents")
    if not isinstance(contents, list) or not contents:
        raise Refusal(400, "contents: required")
    for name in request:
        if name not in _MEMBERS:
            raise Refusal(400, f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')
    calls = _calls(request, script)
    pieces = [] if calls and script.content is None else content.pieces(_asked(request), script, 0)
    parts: list[dict[str, Any]] = []
    if script.reasoning is not None:
        parts.append({"text": script.reasoning, "thought": True})
    parts += [{"text": piece} for piece in pieces]
    return parts + calls or [{"text": ""}]


def _calls(request: Mapping[str, Any], script: Script) -> list[dict[str, Any]]:
    declared = [one for tool in request.get("tools") or () for one in tool.get("functionDeclarations") or ()]
    config = (request.get("toolConfig") or {}).get("functionCallingConfig") or {}
    allowed = config.get("allowedFunctionNames")
    tools = [
        {"type": "function", "function": {"name": one["name"], "parameters": one.get("parameters")}}
        for one in declared
        if allowed is None or one["name"] in allowed
    ]
    if not script.tool_calls and (allowed is not None or config.get("mode") == "ANY"):
        script = script.calling(1)
    made = content.tool_calls({"tools": tools, "messages": []}, script) if tools else []
    return [
        {
            "functionCall": {
                "name": call["function"]["name"],
                "args": orjson.loads(call["function"]["arguments"]),
            },
            "thoughtSignature": "bW9jay1zaWduYXR1cmU=",
        }
        for call in made
    ]


def _asked(request: Mapping[str, Any]) -> dict[str, Any]:
    """The wanted format where the content generator looks for it."""
    config = request.get("generationConfig") or {}
    if "responseSchema" not in config:
        return {}
    return {"response_format": {"type": "json_schema", "json_schema": {"schema": config["responseSchema"]}}}


def _document(parts: list[dict[str, Any]], request: Mapping[str, Any], script: Script) -> dict[str, Any]:
    reason = _FINISH.get(script.finish or "stop", script.finish)
    document: dict[str, Any] = {
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": reason, "index": 0}],
        "modelVersion": request["model"],
        "responseId": "mock",
    }
    if isinstance(script.usage, dict):
        document["usageMetadata"] = script.usage
    elif script.usage:
        texts = [part["text"] for turn in request["contents"] for part in turn["parts"] if "text" in part]
        prompt = sum(map(content.token_estimate, texts))
        spoken = sum(content.token_estimate(orjson.dumps(part).decode()) for part in parts)
        document["usageMetadata"] = {
            "promptTokenCount": prompt,
            "candidatesTokenCount": spoken,
            "totalTokenCount": prompt + spoken,
        }
    return document
