"""A chat request as a request for Converse and ConverseStream, whose bodies are the same.

(https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html)
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from fastgw.core.errors import invalid_request, misconfigured
from fastgw.core.json import write
from fastgw.providers.anthropic.content import Block
from fastgw.providers.anthropic.messages import parsed
from fastgw.providers.anthropic.request import THINKING_BUDGET
from fastgw.providers.anthropic.tools import JSON_HINT, has_formats, schema_of
from fastgw.providers.bedrock.converse import tools
from fastgw.providers.bedrock.converse.content import blocks, cache_points, name_apart, plain
from fastgw.providers.calls import PLAIN, call_id
from fastgw.providers.canonical import Chat

_INFERENCE: Final = (
    ("max_tokens", "maxTokens"),
    ("max_completion_tokens", "maxTokens"),
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("stop", "stopSequences"),
)


EMPTY: Final = "(empty)"
"""What a tool has given back that has given nothing back."""


class Options(NamedTuple):
    """What the provider key and the model say. `fields`: members for the model itself, which Converse does not know,
    with their defaults. `claude`: the model is Anthropic's."""

    temperature_min: float | None = None
    temperature_max: float | None = None
    fields: Mapping[str, Any] = {}
    claude: bool = False


class Request:
    """The body of a request. `answer_tool` is the name of the tool whose input is the answer, if any."""

    __slots__ = ("answer_tool", "body")

    def __init__(self, chat: Chat, model: str, options: Options) -> None:
        system, messages = _conversation(chat)
        if not messages:
            raise misconfigured(
                "bedrock converse: messages must include at least one user / assistant turn (system-only requests are "
                "not supported by Converse)"
            )
        name_apart(messages)
        self.answer_tool: str | None = None
        self.body: dict[str, Any] = {"messages": messages}
        if system:
            self.body["system"] = system
        inference = _inference(chat, options)
        if inference:
            self.body["inferenceConfig"] = inference
        self._add_tools(chat, model, options)
        fields = {name: chat.get(name, value) for name, value in options.fields.items()}
        if options.claude:
            self._add_thinking(chat, fields)
        if fields:
            self.body["additionalModelRequestFields"] = fields

    def _add_tools(self, chat: Chat, model: str, options: Options) -> None:
        body = self.body
        none = chat.get("tool_choice") == "none"
        made = [] if none else tools.specifications(chat)
        choice = tools.choice_of(chat) if made else None
        schema, wanted = schema_of(chat), chat.get("response_format")
        if schema is not None and options.claude and not has_formats(model):
            # Models from before structured output: a tool that they must call, whose input is the answer.
            taken = {one["toolSpec"]["name"] for one in made if "toolSpec" in one}
            self.answer_tool = "json_answer"
            while self.answer_tool in taken:
                self.answer_tool += "_"
            choice = {"any": {}} if made else {"tool": {"name": self.answer_tool}}
            made.append(tools.specification(self.answer_tool, "Give the final answer with this tool.", schema))
        elif schema is not None:
            described: dict[str, Any] = {"schema": write(schema).decode()}
            wrapper = wanted.get("json_schema") if isinstance(wanted, dict) else None
            if isinstance(wrapper, dict) and isinstance(wrapper.get("name"), str):
                described["name"] = wrapper["name"]
            body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": described}}}
        elif isinstance(wanted, dict) and wanted.get("type") == "json_object":
            body.setdefault("system", []).append({"text": JSON_HINT})
        if not made and any("toolUse" in block for turn in body["messages"] for block in turn["content"]):
            # Turns with calls are refused where no tool is described: "The toolConfig field must be defined when using
            # toolUse and toolResult content blocks".
            made = tools.specifications(chat) or tools.remembered(body["messages"])
        if made:
            body["toolConfig"] = {"tools": made}
            if choice is not None:
                body["toolConfig"]["toolChoice"] = choice

    def _add_thinking(self, chat: Chat, fields: dict[str, Any]) -> None:
        """A thinking budget for Claude, under the conditions of `anthropic.request`."""
        if isinstance(chat.get("thinking"), dict):
            fields.setdefault("thinking", chat["thinking"])
        effort = chat.get("reasoning_effort")
        budget = THINKING_BUDGET.get(effort) if isinstance(effort, str) else None
        if budget is None or "thinking" in fields:
            return
        body = self.body
        forced = "toolChoice" in body.get("toolConfig", {})
        if forced or any("toolResult" in one for one in body["messages"][-1]["content"]):
            return
        fields["thinking"] = {"type": "enabled", "budget_tokens": budget}
        inference = body.get("inferenceConfig", {})
        inference.pop("temperature", None)
        if isinstance(inference.get("maxTokens"), int) and inference["maxTokens"] <= budget:
            inference["maxTokens"] += budget
        if isinstance(inference.get("topP"), int | float) and inference["topP"] < 0.95:
            del inference["topP"]
        if not inference:
            body.pop("inferenceConfig", None)


def _conversation(chat: Chat) -> tuple[list[Block], list[Block]]:
    """System prompt and turns. Adjacent turns of one role are one, because roles must alternate."""
    messages = chat.get("messages")
    if not isinstance(messages, list):
        raise invalid_request("invalid JSON request body", param="messages", code="invalid_parameter")
    system: list[Block] = []
    turns: list[Block] = []
    for index, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        where = f"messages[{index}]"
        if role in ("system", "developer"):
            system += _system(message.get("content"))
            continue
        if role == "tool":
            made = _result(message, f"{where}.content")
        elif role == "assistant":
            made = _assistant(message, f"{where}.content")
        elif role == "user":
            made = blocks(message.get("content"), f"{where}.content")
        else:
            raise invalid_request("invalid JSON request body", param=f"{where}.role", code="invalid_parameter")
        spoken = "assistant" if role == "assistant" else "user"
        if not made:
            continue
        if not turns or turns[-1]["role"] != spoken:
            turns.append({"role": spoken, "content": made})
        elif _blank(turns[-1]["content"]):
            # An empty text can only stand alone.
            turns[-1]["content"] = made
        elif not _blank(made):
            turns[-1]["content"] += made
    return system, turns


def _blank(content: list[Block]) -> bool:
    return len(content) == 1 and content[0].get("text") == ""


def _system(content: object) -> list[Block]:
    """A system message: its text, and a cache point behind each part that is marked."""
    parts = content if isinstance(content, list) else []
    if not any(cache_points(part) for part in parts if isinstance(part, dict)):
        text = plain(content)
        return [{"text": text}] if text else []
    made: list[Block] = []
    for part in parts:
        if text := plain([part]):
            made += [{"text": text}, *cache_points(part)]
    return made


def _assistant(message: dict[str, Any], param: str) -> list[Block]:
    uses: list[Block] = []
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        function = call.get("function") if isinstance(call, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if isinstance(function, dict) and call.get("id") and name:
            given = parsed(function.get("arguments"))
            uses.append({"toolUse": {"toolUseId": call_id(str(call["id"]), PLAIN), "name": name, "input": given}})
    # Nothing said is no turn: blank texts are refused.
    return [one for one in blocks(message.get("content"), param) if one.get("text", "x").strip()] + uses


def _result(message: dict[str, Any], param: str) -> list[Block]:
    identity = message.get("tool_call_id")
    if not isinstance(identity, str) or not identity:
        return []
    made = blocks(message.get("content"), param)
    points = [one for one in made if "cachePoint" in one]
    content = [one for one in made if "cachePoint" not in one]
    # Blank texts are refused, inside of results too.
    content = [{"text": EMPTY} if one.get("text", EMPTY).strip() == "" else one for one in content] or [{"text": EMPTY}]
    return [{"toolResult": {"toolUseId": call_id(identity, PLAIN), "content": content}}, *points]


def _inference(chat: Chat, options: Options) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for ours, theirs in _INFERENCE:
        value = chat.get(ours)
        if value is not None and theirs not in config:
            config[theirs] = [value] if ours == "stop" and isinstance(value, str) else value
    heat = config.get("temperature")
    if isinstance(heat, int | float) and not isinstance(heat, bool):
        if options.temperature_max is not None:
            heat = min(heat, options.temperature_max)
        if options.temperature_min is not None:
            heat = max(heat, options.temperature_min)
        config["temperature"] = heat
    return config
