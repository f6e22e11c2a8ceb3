"""Programs that work with tools, as coding agents do it in each of the three dialects, and what a model tells them.

Every agent plays a conversation to its end: it asks, does what it is told, sends the results, and asks again. What
arrives at the upstream is judged by the mock, which has the rules of the real APIs about calls and their results.
"""

import json
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import anthropic
import openai

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
DATA_URL = f"data:image/png;base64,{PNG}"
BETAS = "interleaved-thinking-2025-05-14,context-management-2025-06-27"
LAST = "All done ✓"
FAILED, NOTHING, PICTURE = "fail", "nothing", "picture"
"""Words in a command: what comes of it."""

PATH = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
COMMAND = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "command": {"type": "string"},
        "timeout": {"type": ["integer", "null"], "exclusiveMinimum": 0},
        "env": {"type": "object", "propertyNames": {"type": "string"}, "additionalProperties": {"type": "string"}},
        "mode": {"anyOf": [{"const": "fast"}, {"const": "safe"}], "description": "How to run it."},
    },
    "required": ["command"],
    "additionalProperties": False,
}


class Use(NamedTuple):
    """One call that the model wants."""

    name: str
    input: dict[str, Any]


def script(rounds: int) -> list[dict[str, Any]]:
    """What the model says turn by turn, for the mock: `rounds` turns with calls of every kind, then the last words."""
    kinds: list[dict[str, Any]] = [
        {
            "content": "Let me see.",
            "calls": [Use("run", {"command": 'printf "h\\u00e9llo 🜚\\n" | sed s/\\\\//x/ </dev/null'})],
        },
        {"calls": [Use("read", {"path": f"src/{name}.py"}) for name in ("a", FAILED, "ü")]},
        {"calls": [Use("run", {"command": NOTHING})], "split": 7},
        {"reasoning": "Hm, a picture would help.", "calls": [Use("run", {"command": PICTURE}), Use("status", {})]},
        {
            "content": "Now a patch.",
            "calls": [Use("patch", {"input": '*** Begin\n+x = "\\t🜚"\n*** End'})],
            "tokens": 40,
        },
        {
            "calls": [Use("run", {"command": f"{FAILED} \u2028 {{}}", "timeout": 10**12, "env": {"A": "1"}})],
            "tokens": 1,
        },
    ]
    turns = []
    for number in range(rounds):
        kind = dict(kinds[number % len(kinds)])
        calls = kind.pop("calls")
        turns.append({**kind, "tool_calls": [{"name": use.name, "arguments": use.input} for use in calls]})
    return [*turns, {"content": LAST}]


def done(use: Use, number: int) -> tuple[str, bool, bool]:
    """What a tool gives back: a text, whether it failed, whether there is a picture."""
    words = json.dumps(use.input)
    if NOTHING in words:
        return "", False, False
    return f"result {number} of {use.name}: <tool> ünï", FAILED in words, PICTURE in words


class Agent(ABC):
    """One conversation. `told` holds what the model wanted, turn by turn; `heard` its texts."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.told: list[list[Use]] = []
        self.heard: list[str] = []
        self.results = 0

    def run(self) -> None:
        """Ask and do until the model wants nothing any more."""
        while uses := self.ask():
            # Agents run what is independent at the same time, and finish in any order.
            self.answer([(id, use, *done(use, self.results + at)) for at, (id, use) in enumerate(uses)][::-1])
            self.results += len(uses)

    @abstractmethod
    def ask(self) -> list[tuple[str, Use]]:
        """One turn of the model: its calls and their ids."""

    @abstractmethod
    def answer(self, results: list[tuple[str, Use, str, bool, bool]]) -> None:
        """Put results into the conversation: id, call, text, failure, picture."""


class MessagesAgent(Agent):
    """As Claude Code does it: streams, cache markers, thinking, blocks sent back as they came."""

    def __init__(self, client: anthropic.Anthropic, model: str) -> None:
        super().__init__(model)
        self._client = client
        self.messages: list[Any] = [
            {"role": "user", "content": [{"type": "text", "text": "Fix it.", "cache_control": {"type": "ephemeral"}}]},
            {"role": "system", "content": "There are helpers."},
        ]

    def ask(self) -> list[tuple[str, Use]]:
        described = {"read": PATH, "run": COMMAND, "status": {"type": "object", "properties": {}}}
        tools: list[Any] = [
            {"name": name, "input_schema": schema, "description": name} for name, schema in described.items()
        ]
        patch = {"type": "object", "properties": {"input": {"type": "string"}}}
        tools.append({"name": "patch", "input_schema": patch, "cache_control": {"type": "ephemeral"}})
        system: Any = [{"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}}]
        with self._client.messages.stream(
            model=self.model,
            max_tokens=32_000,
            system=system,
            messages=self.messages,
            tools=tools,
            metadata={"user_id": json.dumps({"device": "d" * 64, "session": "s" * 36})},
            extra_headers={"anthropic-beta": BETAS},
            extra_query={"beta": "true"},
            extra_body={
                "thinking": {"type": "adaptive"},
                "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
                "output_config": {"effort": "high"},
            },
        ) as stream:
            made = stream.get_final_message()
        blocks = [block.model_dump(exclude_none=True) for block in made.content]
        for block in blocks:
            block.pop("parsed_output", None)
        self.messages.append({"role": "assistant", "content": blocks})
        self.heard.append("".join(block["text"] for block in blocks if block["type"] == "text"))
        uses = [(block["id"], Use(block["name"], block["input"])) for block in blocks if block["type"] == "tool_use"]
        assert made.stop_reason == ("tool_use" if uses else "end_turn")
        self.told.append([use for _, use in uses])
        return uses

    def answer(self, results: list[tuple[str, Use, str, bool, bool]]) -> None:
        blocks: list[dict[str, Any]] = []
        for id, _, text, failed, picture in results:
            source = {"type": "base64", "media_type": "image/png", "data": PNG}
            parts: Any = [{"type": "text", "text": text}, {"type": "image", "source": source}] if picture else text
            blocks.append({"type": "tool_result", "tool_use_id": id, "content": parts, "is_error": failed})
        for message in self.messages:
            for block in message["content"] if isinstance(message["content"], list) else ():
                if block["type"] == "tool_result":
                    block.pop("cache_control", None)
        blocks[-1]["cache_control"] = {"type": "ephemeral"}
        if self.results % 3 == 0:
            blocks.append({"type": "text", "text": "<reminder>Stay on it.</reminder>"})
        self.messages.append({"role": "user", "content": blocks})


class ResponsesAgent(Agent):
    """As Codex does it: nothing stored, all items sent back, custom tools, tools in namespaces."""

    def __init__(self, client: openai.OpenAI, model: str) -> None:
        super().__init__(model)
        self._client = client
        self.items: list[Any] = [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "You are an agent."}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Fix it."}]},
        ]

    def ask(self) -> list[tuple[str, Use]]:
        status = {"type": "function", "name": "status", "strict": False, "parameters": {"type": "object"}}
        tools: list[Any] = [
            {"type": "function", "name": "read", "strict": False, "parameters": PATH},
            {"type": "function", "name": "run", "strict": False, "parameters": COMMAND},
            status,
            {
                "type": "custom",
                "name": "patch",
                "description": "Applies a patch.",
                "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "*** Begin" /.+/s'},
            },
            {"type": "web_search", "external_web_access": True},
        ]
        with self._client.responses.create(
            model=self.model,
            input=self.items,
            tools=tools,
            tool_choice="auto",
            parallel_tool_calls=True,
            reasoning={"effort": "medium", "summary": "auto"},
            store=False,
            stream=True,
            include=["reasoning.encrypted_content"],
            prompt_cache_key="conversation",
            text={"verbosity": "low"},
            extra_body={"client_metadata": {"session": "s"}},
        ) as stream:
            ended = [event for event in stream if event.type == "response.completed"]
        items: list[Any] = [item.to_dict() for item in ended[0].response.output]
        for item in items:
            if item["type"] == "reasoning":
                item |= {"content": None, "encrypted_content": None}
        self.items += items
        texts = [item["content"][0]["text"] for item in items if item["type"] == "message"]
        self.heard.append("".join(texts))
        uses: list[tuple[str, Use]] = []
        for item in items:
            if item["type"] == "function_call":
                uses.append((item["call_id"], Use(item["name"], json.loads(item["arguments"]))))
            elif item["type"] == "custom_tool_call":
                uses.append((item["call_id"], Use(item["name"], {"input": item["input"]})))
        self.told.append([use for _, use in uses])
        return uses

    def answer(self, results: list[tuple[str, Use, str, bool, bool]]) -> None:
        for id, use, text, failed, picture in results:
            output: Any = f"Exit code 1\n{text}" if failed else text
            if picture:
                image = {"type": "input_image", "image_url": DATA_URL, "detail": "high"}
                output = [{"type": "input_text", "text": text}, image]
            kind = "custom_tool_call_output" if use.name == "patch" else "function_call_output"
            self.items.append({"type": kind, "call_id": id, "output": output})


class ChatAgent(Agent):
    """As agents on chat completions do it."""

    def __init__(self, client: openai.OpenAI, model: str) -> None:
        super().__init__(model)
        self._client = client
        self.messages: list[Any] = [
            {"role": "system", "content": "You are an agent."},
            {"role": "user", "content": "Fix it."},
        ]

    def ask(self) -> list[tuple[str, Use]]:
        patch = {"type": "object", "properties": {"input": {"type": "string"}}}
        described = {"read": PATH, "run": COMMAND, "status": {"type": "object", "properties": {}}, "patch": patch}
        tools: list[Any] = [
            {"type": "function", "function": {"name": name, "parameters": schema}} for name, schema in described.items()
        ]
        with self._client.chat.completions.stream(model=self.model, messages=self.messages, tools=tools) as stream:
            message = stream.get_final_completion().choices[0].message
        calls: list[Any] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }
            for call in message.tool_calls or ()
        ]
        self.messages.append(
            {"role": "assistant", "content": message.content, **({"tool_calls": calls} if calls else {})}
        )
        self.heard.append(message.content or "")
        uses = [(c["id"], Use(c["function"]["name"], json.loads(c["function"]["arguments"]))) for c in calls]
        self.told.append([use for _, use in uses])
        return uses

    def answer(self, results: list[tuple[str, Use, str, bool, bool]]) -> None:
        for id, _, text, failed, picture in results:
            content: Any = f"Error: {text}" if failed else text
            if picture:
                content = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": DATA_URL}}]
            self.messages.append({"role": "tool", "tool_call_id": id, "content": content})
