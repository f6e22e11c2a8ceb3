"""Wire samples shared by the micro benches: what an official SDK sends and what a provider answers."""

from __future__ import annotations

import json

CHAT = json.dumps(
    {
        "model": "alias-mock",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Say in one short sentence what a gateway does."},
        ],
        "temperature": 0.5,
    }
).encode()

HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\n"
    b"Host: 127.0.0.1:3000\r\n"
    b"Accept-Encoding: gzip, deflate\r\n"
    b"Connection: keep-alive\r\n"
    b"Accept: application/json\r\n"
    b"Content-Type: application/json\r\n"
    b"User-Agent: OpenAI/Python 3.52.0\r\n"
    b"X-Stainless-Lang: python\r\n"
    b"X-Stainless-Package-Version: 3.52.0\r\n"
    b"X-Stainless-OS: Linux\r\n"
    b"X-Stainless-Arch: x64\r\n"
    b"X-Stainless-Runtime: CPython\r\n"
    b"X-Stainless-Retry-Count: 0\r\n"
    b"Authorization: Bearer sk-bench-caller-0123456789abcdef0123456789abcdef\r\n"
    b"Content-Length: %d\r\n\r\n"
)
REQUEST = HEAD % len(CHAT) + CHAT

ANSWER = json.dumps(
    {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "mock-model-2026-01-01",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "It stands in front of other services.", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 24, "completion_tokens": 9, "total_tokens": 33},
    }
).encode()
ANSWER_WIRE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    b"content-length: %d\r\n\r\n" % len(ANSWER)
) + ANSWER


def chat(prompt_bytes: int) -> bytes:
    """A chat request with a prompt of that many characters, with an escape in every sentence."""
    prompt = ('The "gateway" copies it once.\n' * (prompt_bytes // 30 + 1))[:prompt_bytes]
    return json.dumps({"model": "alias-mock", "messages": [{"role": "user", "content": prompt}]}).encode()


def event(delta: dict[str, object], finish: str | None = None, usage: dict[str, int] | None = None) -> bytes:
    choices = [] if usage else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    chunk: dict[str, object] = {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "mock-model-2026-01-01",
        "choices": choices,
        "usage": usage,
    }
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def stream(tokens: int) -> list[bytes]:
    """The events of a stream with usage, one bytes object each."""
    events = [event({"role": "assistant", "content": ""})]
    events += [event({"content": " word"}) for _ in range(tokens)]
    events.append(event({}, finish="stop"))
    events.append(event({}, usage={"prompt_tokens": 24, "completion_tokens": tokens, "total_tokens": 24 + tokens}))
    return [*events, b"data: [DONE]\n\n"]
