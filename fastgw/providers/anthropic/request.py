"""A chat request as a Messages request.

The Messages API refuses members that it does not know, so what only OpenAI has is mapped or left out. What neither
this module nor OpenAI knows goes along as it is: it may be Anthropic's own.
"""

from typing import Any, Final

from fastgw.providers.anthropic import tools
from fastgw.providers.anthropic.caching import mark
from fastgw.providers.anthropic.messages import conversation
from fastgw.providers.canonical import Chat
from fastgw.resources.models import AutoPromptCaching

DEFAULT_MAX_TOKENS: Final = 4096
THINKING_BUDGET: Final = {"minimal": 1024, "low": 1024, "medium": 2048, "high": 4096, "xhigh": 4096}

_MAPPED: Final = frozenset(
    {
        "model",
        "messages",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "stream",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "stop",
        "user",
        "safety_identifier",
        "reasoning_effort",
        "response_format",
    }
)
_DROPPED: Final = frozenset(
    {
        "stream_options",
        "n",
        "seed",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "presence_penalty",
        "frequency_penalty",
        "store",
        "modalities",
        "audio",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "verbosity",
        "web_search_options",
        "moderation",
        # The predecessor of tools: refused before, unless there is nothing to it.
        "functions",
        "function_call",
    }
)


class Request:
    """The body of a Messages request. `answer_tool` is the name of the tool whose input is the answer, if any."""

    __slots__ = ("answer_tool", "body")

    def __init__(self, chat: Chat, model: str, stream: bool, caching: AutoPromptCaching | None = None) -> None:
        system, turns = conversation(chat)
        self.answer_tool: str | None = None
        body: dict[str, Any] = {"model": model, "messages": turns, "max_tokens": _max_tokens(chat)}
        if system is not None:
            body["system"] = system
        for name in ("temperature", "top_p"):
            if chat.get(name) is not None:
                body[name] = chat[name]
        body["stream"] = stream
        _add_extras(body, chat)
        self.body = body
        self._add_tools(chat)
        _add_thinking(body, chat)
        if caching is not None and caching.enabled:
            mark(body, caching.ttl)

    def _add_tools(self, chat: Chat) -> None:
        body = self.body
        made = tools.tools_of(chat)
        choice = tools.choice_of(chat) if made else None
        schema = tools.schema_of(chat)
        if schema is not None and tools.has_formats(body["model"]):
            config = body.get("output_config")
            config = dict(config) if isinstance(config, dict) else {}
            body["output_config"] = {**config, "format": {"type": "json_schema", "schema": schema}}
        elif schema is not None:
            answer = tools.answer_tool(schema, made)
            self.answer_tool = answer["name"]
            # With tools of its own the model may call those first, but must end in the answer.
            choice = {"type": "any"} if made else {"type": "tool", "name": self.answer_tool}
            made.append(answer)
        elif _wants_json(chat):
            system = body.get("system")
            if isinstance(system, list):
                body["system"] = [*system, {"type": "text", "text": tools.JSON_HINT}]
            elif system is None or isinstance(system, str):
                body["system"] = f"{system}\n\n{tools.JSON_HINT}" if system else tools.JSON_HINT
        if made:
            body["tools"] = made
        if choice is not None:
            body["tool_choice"] = choice


def _max_tokens(chat: Chat) -> Any:
    for name in ("max_tokens", "max_completion_tokens"):
        if chat.get(name) is not None:
            return chat[name]
    return DEFAULT_MAX_TOKENS


def _wants_json(chat: Chat) -> bool:
    wanted = chat.get("response_format")
    return isinstance(wanted, dict) and wanted.get("type") == "json_object"


def _add_extras(body: dict[str, Any], chat: Chat) -> None:
    for name, value in chat.items():
        if name in _MAPPED or name in _DROPPED or name in body:
            continue
        if name == "metadata" and not (isinstance(value, dict) and set(value) == {"user_id"}):
            continue  # OpenAI's: free labels for its own dashboards
        if name == "service_tier" and value != "standard_only":
            continue  # OpenAI's tiers; `auto` is the default on both sides
        body[name] = value
    stop = chat.get("stop")
    if stop is not None and "stop_sequences" not in body:
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    user = chat.get("safety_identifier") or chat.get("user")  # the latter is deprecated in favour of the former
    if isinstance(user, str) and "metadata" not in body:
        body["metadata"] = {"user_id": user}


def _add_thinking(body: dict[str, Any], chat: Chat) -> None:
    """`reasoning_effort` as a thinking budget, where the API allows it.

    Thinking excludes a forced tool, other temperatures and `top_k`, and a small `top_p`. A turn that is to be continued
    after tool results must begin with its signed thinking block, which no chat client can replay: such requests are
    answered without thinking. (https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking)
    """
    effort = chat.get("reasoning_effort")
    budget = THINKING_BUDGET.get(effort) if isinstance(effort, str) else None
    if budget is None or "thinking" in body:
        return
    if body.get("tool_choice", {}).get("type") in ("any", "tool") or _continues_tools(body["messages"]):
        return
    body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    if isinstance(body["max_tokens"], int) and body["max_tokens"] <= budget:
        body["max_tokens"] += budget
    for name in ("temperature", "top_k"):
        body.pop(name, None)
    if isinstance(body.get("top_p"), int | float) and body["top_p"] < 0.95:
        del body["top_p"]


def _continues_tools(turns: list[dict[str, Any]]) -> bool:
    last = turns[-1]["content"] if turns else []
    return any(block.get("type") == "tool_result" for block in last)
