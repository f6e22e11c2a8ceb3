"""A whole chat completion as the canonical form. Only the first choice counts: other dialects have one answer."""

from typing import Any

from fastgw.core.json import write
from fastgw.providers.answers import document_of, lacks
from fastgw.providers.canonical import Completion, ToolCall, string
from fastgw.providers.openai.content import pieces
from fastgw.providers.openai.usage import raise_to


def completion_of(body: bytes) -> Completion:
    """Read an answer. Raises a decode error."""
    document = document_of(body, "id", "model")
    choices = document.get("choices")
    if not isinstance(choices, list):
        raise lacks("choices")
    found = Completion(document["id"], document["model"])
    if choices:
        _read(found, choices[0])
    else:
        found.text = ""
    raise_to(found.usage, document.get("usage"))
    return found


def _read(found: Completion, choice: Any) -> None:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise lacks("choices[0].message.role")
    content = message.get("content")
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(content, list):
        told = list(pieces(content))
        reasoning = reasoning or "".join(text for thought, text in told if thought)
        content = "".join(text for thought, text in told if not thought)
    elif content is not None and not isinstance(content, str):
        raise lacks("choices[0].message.content")
    found.text = content
    found.reasoning = reasoning if isinstance(reasoning, str) else None
    refusal = message.get("refusal")
    found.refusal = refusal if isinstance(refusal, str) and refusal else None
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            arguments = function.get("arguments")
            found.tool_calls.append(
                ToolCall(
                    string(call.get("id")),
                    string(function.get("name")),
                    arguments if isinstance(arguments, str) else write(arguments or {}).decode(),
                )
            )
    finish = choice.get("finish_reason")
    found.finish = finish if isinstance(finish, str) and finish else "stop"
