"""A chat request as a request for Gemini's generateContent.

Gemini refuses members that it does not know: what has no counterpart there is left out.
(https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference)
"""

from typing import Any, Final

from fastgw.core.errors import misconfigured
from fastgw.providers.canonical import Chat
from fastgw.providers.vertex.gemini.content import parts, plain
from fastgw.providers.vertex.gemini.schema import cleaned
from fastgw.providers.vertex.gemini.tools import SIGNING, Calls, choice_of, declarations

THINKING_BUDGET: Final = {"none": 0, "minimal": 1024, "low": 1024, "medium": 2048, "high": 4096, "xhigh": 4096}

_CONFIG: Final = (
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("top_k", "topK"),
    ("n", "candidateCount"),
    ("seed", "seed"),
    ("presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequencyPenalty"),
)


def request_of(chat: Chat, model: str) -> dict[str, Any]:
    """The body. Raises the 400 for parts that Gemini cannot take, the 500 for a conversation without a turn."""
    system, contents = _conversation(chat["messages"], signed=model.lower().startswith(SIGNING))
    if not contents:
        raise misconfigured(
            "vertex chat: messages must include at least one user / assistant turn (system-only requests are not "
            "supported by Gemini)"
        )
    body: dict[str, Any] = {"contents": contents}
    if system:
        body["systemInstruction"] = {"role": "user", "parts": [{"text": "\n\n".join(system)}]}
    if config := _generation(chat):
        body["generationConfig"] = config
    functions = declarations(chat.get("tools"))
    if functions:
        body["tools"] = [{"functionDeclarations": functions}]
        choice = choice_of(chat.get("tool_choice"))
        if choice is not None:
            body["toolConfig"] = {"functionCallingConfig": choice}
    if isinstance(chat.get("safetySettings"), list):
        body["safetySettings"] = chat["safetySettings"]
    return body


def _conversation(messages: list[dict[str, Any]], signed: bool) -> tuple[list[str], list[dict[str, Any]]]:
    system: list[str] = []
    contents: list[dict[str, Any]] = []
    calls = Calls()
    asked = max((index for index, message in enumerate(messages) if message.get("role") == "user"), default=-1)
    for index, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        where = f"messages[{index}].content"
        if role in ("tool", "function"):
            calls.answer(message, parts(content, where))
            continue
        if role in ("system", "developer"):
            if text := plain(content):
                system.append(text)
            continue
        contents += calls.answers()
        made = parts(content, where)
        if role == "assistant":
            # Signatures are wanted in the turns behind what the user said last.
            made += calls.parts(message.get("tool_calls"), signed=signed and index > asked)
        spoken = "model" if role == "assistant" else "user"
        if spoken == "model" and contents and contents[-1]["role"] == spoken:
            # A turn that calls must come right behind one of the user's.
            contents[-1]["parts"] += made
        elif made:
            contents.append({"role": spoken, "parts": made})
    contents += calls.answers()
    if asked >= 0 and not contents:
        # Gemini takes neither turns without parts nor empty texts, and may say so itself when there is nothing else.
        contents.append({"role": "user", "parts": [{"text": ""}]})
    return system, contents


def _generation(chat: Chat) -> dict[str, Any]:
    config = {theirs: chat[ours] for ours, theirs in _CONFIG if chat.get(ours) is not None}
    for name in ("max_tokens", "max_completion_tokens"):
        if chat.get(name) is not None:
            config["maxOutputTokens"] = chat[name]
            break
    stop = chat.get("stop")
    if stop is not None:
        config["stopSequences"] = [stop] if isinstance(stop, str) else stop
    wanted = chat.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") in ("json_object", "json_schema"):
        config["responseMimeType"] = "application/json"
        described = wanted.get("json_schema")
        if isinstance(described, dict) and isinstance(described.get("schema"), dict):
            config["responseSchema"] = cleaned(described["schema"])
    effort = chat.get("reasoning_effort")
    if isinstance(effort, str) and effort in THINKING_BUDGET:
        config["thinkingConfig"] = {"thinkingBudget": THINKING_BUDGET[effort]}
    return config
