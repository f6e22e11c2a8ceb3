"""One answer of a model, written in the protocol of every upstream: as a whole, and as the events of a stream.

Written from the providers' references, not with the gateway's own code, so that what the gateway makes of them can be
compared with what was meant. `CHAT`, `AZURE`, `MESSAGES`, `CONVERSE`, `GEMINI` and `RESPONSES` are pairs of writers.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Document = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A call of a tool."""

    id: str
    name: str
    arguments: Document

    def pieces(self) -> list[str]:
        """The JSON text of the arguments as a stream sends it."""
        text = json.dumps(self.arguments, separators=(",", ":"), ensure_ascii=False)
        return halves(text) if self.arguments else []


@dataclass(frozen=True)
class Counts:
    """Tokens. `cached` is part of the prompt, `reasoning` of the completion; `written` and `read` come on top."""

    prompt: int = 21
    completion: int = 9
    cached: int = 0
    reasoning: int = 0
    written: int = 0
    read: int = 0

    @property
    def total(self) -> int:
        """Everything."""
        return self.prompt + self.completion + self.written + self.read


@dataclass(frozen=True)
class Answer:
    """What a model said. `finish` is OpenAI's word for it."""

    text: str = ""
    thinking: str = ""
    signature: str = ""
    refusal: str = ""
    calls: tuple[Call, ...] = ()
    finish: str = "stop"
    stop_sequence: str | None = None
    counts: Counts = field(default_factory=Counts)


class Wire(NamedTuple):
    """Writers of a protocol. Events are documents, `[DONE]`, or for Converse `{event type: payload}`."""

    whole: Callable[[Answer], Document]
    events: Callable[[Answer], list[Any]]


def halves(text: str) -> list[str]:
    """A text in at most two pieces."""
    middle = (len(text) + 1) // 2
    return [piece for piece in (text[:middle], text[middle:]) if piece]


# -- OpenAI's chat completions


def chat_usage(counts: Counts) -> Document:
    """The `usage` member."""
    return {
        "prompt_tokens": counts.prompt,
        "completion_tokens": counts.completion,
        "total_tokens": counts.prompt + counts.completion,
        "prompt_tokens_details": {"cached_tokens": counts.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": counts.reasoning},
    }


def chat_whole(answer: Answer) -> Document:
    """A chat completion."""
    message: Document = {"role": "assistant", "content": answer.text or None, "refusal": answer.refusal or None}
    if answer.thinking:
        message["reasoning_content"] = answer.thinking
    if answer.calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
            }
            for call in answer.calls
        ]
    return {
        "id": "chatcmpl-up",
        "object": "chat.completion",
        "created": 1760000000,
        "model": "gpt-up",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish}],
        "usage": chat_usage(answer.counts),
        "system_fingerprint": "fp_up",
    }


def chat_deltas(answer: Answer) -> Iterator[Document]:
    """The deltas of a stream."""
    yield {"role": "assistant", "content": ""}
    yield from ({"reasoning_content": piece} for piece in halves(answer.thinking))
    yield from ({"content": piece} for piece in halves(answer.text))
    yield from ({"refusal": piece} for piece in halves(answer.refusal))
    for index, call in enumerate(answer.calls):
        function: Document = {"name": call.name, "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]}
        for piece in call.pieces() or ["{}"]:
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def chat_events(answer: Answer) -> list[Any]:
    """The chunks of a stream that was asked for usage."""
    head = {"id": "chatcmpl-up", "object": "chat.completion.chunk", "created": 1760000000, "model": "gpt-up"}
    steps: list[tuple[Document, str | None]] = [(delta, None) for delta in chat_deltas(answer)]
    steps.append(({}, answer.finish))
    made: list[Any] = [
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]} for delta, finish in steps
    ]
    return [*made, {**head, "choices": [], "usage": chat_usage(answer.counts)}, "[DONE]"]


FILTERS = {"hate": {"filtered": False, "severity": "safe"}}


def azure_whole(answer: Answer) -> Document:
    """The same with what Azure's filter says."""
    made = chat_whole(answer)
    made["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": FILTERS}]
    made["choices"][0]["content_filter_results"] = FILTERS
    return made


def azure_events(answer: Answer) -> list[Any]:
    """The same: the filter speaks first."""
    first = {"prompt_index": 0, "content_filter_results": FILTERS}
    head = {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": [first]}
    return [head, *chat_events(answer)]


# -- Anthropic's messages

MESSAGES_STOP = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def messages_stop(answer: Answer) -> Document:
    """Why the message ended."""
    reason = "stop_sequence" if answer.stop_sequence is not None else MESSAGES_STOP[answer.finish]
    return {"stop_reason": reason, "stop_sequence": answer.stop_sequence}


def messages_blocks(answer: Answer) -> list[Document]:
    """The content."""
    made: list[Document] = []
    if answer.thinking:
        made.append({"type": "thinking", "thinking": answer.thinking, "signature": answer.signature})
    if answer.text or answer.refusal:
        made.append({"type": "text", "text": answer.text + answer.refusal})
    made += [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in answer.calls]
    return made


def messages_usage(counts: Counts) -> Document:
    """The `usage` member."""
    return {
        "input_tokens": counts.prompt,
        "cache_creation_input_tokens": counts.written,
        "cache_read_input_tokens": counts.read,
        "output_tokens": counts.completion,
    }


def messages_whole(answer: Answer) -> Document:
    """A message."""
    return {
        "id": "msg_up",
        "type": "message",
        "role": "assistant",
        "model": "claude-up",
        "content": messages_blocks(answer),
        **messages_stop(answer),
        "usage": messages_usage(answer.counts),
    }


def messages_events(answer: Answer) -> list[Any]:
    """The events of a message."""
    begun = {**messages_whole(answer), "content": [], "stop_reason": None, "stop_sequence": None}
    begun["usage"] = {**messages_usage(answer.counts), "output_tokens": 1}
    made: list[Any] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for index, block in enumerate(messages_blocks(answer)):
        empty, deltas = messages_deltas(block)
        made.append({"type": "content_block_start", "index": index, "content_block": empty})
        made += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        made.append({"type": "content_block_stop", "index": index})
    used = {"output_tokens": answer.counts.completion}
    made.append({"type": "message_delta", "delta": messages_stop(answer), "usage": used})
    return [*made, {"type": "message_stop"}]


def messages_deltas(block: Document) -> tuple[Document, list[Document]]:
    """A block as it begins, and what makes it whole."""
    if block["type"] == "thinking":
        pieces = [{"type": "thinking_delta", "thinking": piece} for piece in halves(block["thinking"])]
        signed = {"type": "signature_delta", "signature": block["signature"]}
        return {"type": "thinking", "thinking": "", "signature": ""}, [*pieces, signed]
    if block["type"] == "text":
        return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in halves(block["text"])]
    call = Call(block["id"], block["name"], block["input"])
    pieces = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *call.pieces()]]
    return {**block, "input": {}}, pieces


# -- Bedrock's Converse

CONVERSE_STOP = {**MESSAGES_STOP, "content_filter": "content_filtered"}


def converse_stop(answer: Answer) -> Document:
    """Why the answer ended."""
    if answer.stop_sequence is None:
        return {"stopReason": CONVERSE_STOP[answer.finish]}
    fields = {"stop_sequence": answer.stop_sequence}
    return {"stopReason": "stop_sequence", "additionalModelResponseFields": fields}


def converse_usage(counts: Counts) -> Document:
    """The `usage` member."""
    return {
        "inputTokens": counts.prompt,
        "outputTokens": counts.completion,
        "totalTokens": counts.total,
        "cacheReadInputTokens": counts.read,
        "cacheWriteInputTokens": counts.written,
    }


def converse_whole(answer: Answer) -> Document:
    """An answer of Converse."""
    content: list[Document] = []
    if answer.thinking:
        told = {"text": answer.thinking, "signature": answer.signature}
        content.append({"reasoningContent": {"reasoningText": told}})
    if answer.text or answer.refusal:
        content.append({"text": answer.text + answer.refusal})
    content += [
        {"toolUse": {"toolUseId": call.id, "name": call.name, "input": call.arguments}} for call in answer.calls
    ]
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        **converse_stop(answer),
        "usage": converse_usage(answer.counts),
        "metrics": {"latencyMs": 7},
    }


def converse_events(answer: Answer) -> list[Any]:
    """The events of ConverseStream."""
    made: list[Any] = [{"messageStart": {"role": "assistant"}}]
    blocks: list[tuple[Document | None, list[Document]]] = []
    if answer.thinking:
        pieces = [{"reasoningContent": {"text": piece}} for piece in halves(answer.thinking)]
        blocks.append((None, [*pieces, {"reasoningContent": {"signature": answer.signature}}]))
    if answer.text or answer.refusal:
        blocks.append((None, [{"text": piece} for piece in halves(answer.text + answer.refusal)]))
    for call in answer.calls:
        start = {"toolUse": {"toolUseId": call.id, "name": call.name}}
        blocks.append((start, [{"toolUse": {"input": piece}} for piece in call.pieces()]))
    for index, (start_, deltas) in enumerate(blocks):
        if start_ is not None:
            made.append({"contentBlockStart": {"contentBlockIndex": index, "start": start_}})
        made += [{"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}} for delta in deltas]
        made.append({"contentBlockStop": {"contentBlockIndex": index}})
    made.append({"messageStop": converse_stop(answer)})
    return [*made, {"metadata": {"usage": converse_usage(answer.counts), "metrics": {"latencyMs": 7}}}]


# -- Gemini

GEMINI_STOP = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}


def gemini_usage(counts: Counts) -> Document:
    """The `usageMetadata` member. Candidates are counted without what was thought."""
    made = {
        "promptTokenCount": counts.prompt,
        "candidatesTokenCount": counts.completion - counts.reasoning,
        "totalTokenCount": counts.prompt + counts.completion,
    }
    if counts.cached:
        made["cachedContentTokenCount"] = counts.cached
    if counts.reasoning:
        made["thoughtsTokenCount"] = counts.reasoning
    return made


def gemini_parts(answer: Answer, *, streamed: bool) -> list[Document]:
    """The parts, in pieces for a stream."""

    def cut(text: str) -> list[str]:
        return halves(text) if streamed else [text] * bool(text)

    made: list[Document] = [{"text": piece, "thought": True} for piece in cut(answer.thinking)]
    made += [{"text": piece} for piece in cut(answer.text + answer.refusal)]
    made += [{"functionCall": {"name": call.name, "args": call.arguments}} for call in answer.calls]
    return made


def gemini_whole(answer: Answer) -> Document:
    """An answer of generateContent."""
    content = {"role": "model", "parts": gemini_parts(answer, streamed=False)}
    return {
        "candidates": [{"content": content, "finishReason": GEMINI_STOP[answer.finish], "index": 0}],
        "usageMetadata": gemini_usage(answer.counts),
        "modelVersion": "gemini-up",
        "responseId": "up",
    }


def gemini_events(answer: Answer) -> list[Any]:
    """The documents of streamGenerateContent."""
    made: list[Any] = [
        {"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}], "modelVersion": "gemini-up"}
        for part in gemini_parts(answer, streamed=True)
    ]
    last = {"content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": GEMINI_STOP[answer.finish]}
    return [
        *made,
        {"candidates": [last], "usageMetadata": gemini_usage(answer.counts), "modelVersion": "gemini-up"},
    ]


# -- OpenAI's Responses API


def responses_usage(counts: Counts) -> Document:
    """The `usage` member."""
    return {
        "input_tokens": counts.prompt,
        "input_tokens_details": {"cached_tokens": counts.cached, "cache_write_tokens": 0},
        "output_tokens": counts.completion,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning},
        "total_tokens": counts.prompt + counts.completion,
    }


def responses_items(answer: Answer) -> list[Document]:
    """The output."""
    made: list[Document] = []
    if answer.thinking:
        made.append(
            {"id": "rs_up", "type": "reasoning", "summary": [{"type": "summary_text", "text": answer.thinking}]}
        )
    content: list[Document] = []
    if answer.text:
        content.append({"type": "output_text", "annotations": [], "logprobs": [], "text": answer.text})
    if answer.refusal:
        content.append({"type": "refusal", "refusal": answer.refusal})
    if content:
        made.append({"id": "msg_up", "type": "message", "status": "completed", "content": content, "role": "assistant"})
    for number, call in enumerate(answer.calls):
        made.append(
            {
                "id": f"fc_up{number}",
                "type": "function_call",
                "status": "completed",
                "arguments": json.dumps(call.arguments, separators=(",", ":"), ensure_ascii=False),
                "call_id": call.id,
                "name": call.name,
            }
        )
    return made


def responses_whole(answer: Answer) -> Document:
    """A response."""
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(answer.finish)
    return {
        "id": "resp_up",
        "object": "response",
        "created_at": 1760000000,
        "status": "completed" if reason is None else "incomplete",
        "error": None,
        "incomplete_details": None if reason is None else {"reason": reason},
        "instructions": None,
        "metadata": {},
        "model": "gpt-up",
        "output": responses_items(answer),
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": responses_usage(answer.counts),
    }


def responses_events(answer: Answer) -> list[Any]:
    """The events of a response."""
    whole = responses_whole(answer)
    begun = {**whole, "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    made: list[Document] = [{"type": f"response.{kind}", "response": begun} for kind in ("created", "in_progress")]
    for index, item in enumerate(whole["output"]):
        made += responses_item_events(item, index)
    made.append({"type": f"response.{whole['status']}", "response": whole})
    return [{**event, "sequence_number": number} for number, event in enumerate(made)]


def responses_item_events(item: Document, index: int) -> list[Document]:
    """What a stream says of one item."""
    place = {"item_id": item["id"], "output_index": index}
    begun: Document = {"summary": []} if item["type"] == "reasoning" else {"status": "in_progress"}
    empty = {**item, **begun}
    steps: list[Document] = []
    if item["type"] == "function_call":
        empty["arguments"] = ""
        kind = "response.function_call_arguments"
        steps += [{"type": f"{kind}.delta", **place, "delta": piece} for piece in halves(item["arguments"])]
        steps.append({"type": f"{kind}.done", **place, "name": item["name"], "arguments": item["arguments"]})
    elif item["type"] == "reasoning":
        part, kind, at = item["summary"][0], "response.reasoning_summary", {**place, "summary_index": 0}
        steps.append({"type": f"{kind}_part.added", **at, "part": {**part, "text": ""}})
        steps += [{"type": f"{kind}_text.delta", **at, "delta": piece} for piece in halves(part["text"])]
        steps.append({"type": f"{kind}_text.done", **at, "text": part["text"]})
        steps.append({"type": f"{kind}_part.done", **at, "part": part})
    else:
        empty["content"] = []
        for number, part in enumerate(item["content"]):
            at = {**place, "content_index": number}
            name = "text" if part["type"] == "output_text" else "refusal"
            more: Document = {"logprobs": []} if name == "text" else {}
            kind = f"response.{part['type']}"
            steps.append({"type": "response.content_part.added", **at, "part": {**part, name: ""}})
            steps += [{"type": f"{kind}.delta", **at, "delta": piece, **more} for piece in halves(part[name])]
            steps.append({"type": f"{kind}.done", **at, name: part[name], **more})
            steps.append({"type": "response.content_part.done", **at, "part": part})
    return [
        {"type": "response.output_item.added", "output_index": index, "item": empty},
        *steps,
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


CHAT = Wire(chat_whole, chat_events)
AZURE = Wire(azure_whole, azure_events)
MESSAGES = Wire(messages_whole, messages_events)
CONVERSE = Wire(converse_whole, converse_events)
GEMINI = Wire(gemini_whole, gemini_events)
RESPONSES = Wire(responses_whole, responses_events)
WIRES = {
    "openai": CHAT,
    "azure-openai": AZURE,
    "anthropic": MESSAGES,
    "bedrock": CONVERSE,
    "vertex": GEMINI,
    "responses": RESPONSES,
}
"""By wire family; `responses` is OpenAI's other protocol."""
