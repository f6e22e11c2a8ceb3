"""One conversation with a tool, held by every client as its documentation shows it: question, calls, results, answer.

`think` asks for reasoning; what the model said goes back as the client keeps it, reasoning included.
"""

import functools
import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from typing import Any, Literal

import anthropic
import openai
import pydantic
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from tests.support.gateway import API_KEY
from tests.support.targets import QUESTION, Rig, weather

# It fetches a list of prices over the network otherwise.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm
import litellm.litellm_core_utils.streaming_handler
import litellm.utils


class _Here(Executor):
    """Runs everything at once, in the caller's thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


litellm.telemetry = False
litellm.suppress_debug_info = True
# Its bookkeeping takes a thread per call and one with an event loop per chunk, which outlive the test that called.
litellm.disable_streaming_logging = True
litellm.utils.executor = litellm.litellm_core_utils.streaming_handler.executor = _Here()

DESCRIPTION = "The weather of a city for some days."
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
FUNCTION = {"name": "weather", "description": DESCRIPTION, "parameters": PARAMETERS}
CHAT_TOOL: Any = {"type": "function", "function": FUNCTION}
RESPONSES_TOOL: Any = {"type": "function", **FUNCTION, "strict": True}
MESSAGES_TOOL: Any = {"name": "weather", "description": DESCRIPTION, "input_schema": PARAMETERS}
ASKED: Any = {"role": "user", "content": QUESTION}


@dataclass
class Turn:
    """What a user sees of an answer; `calls` are ids, names and parsed arguments. None: the client does not tell."""

    text: str
    calls: list[tuple[str, str, dict[str, Any]]]
    finish: str | None
    prompt: int
    completion: int
    total: int | None = None
    cached: int | None = None
    thought: int | None = None
    reasoning: str | None = None


Talk = Callable[[Rig, str, bool, bool], list[Turn]]
"""The answers of one conversation with an alias, streamed or not, with reasoning or not."""

BUDGET: dict[str, Any] = {"type": "enabled", "budget_tokens": 2000}
SUMMARY: dict[str, Any] = {"effort": "medium", "summary": "auto"}


def options(url: str) -> dict[str, Any]:
    """How clients are made: they never retry, so that a failure is seen."""
    return {"base_url": url, "api_key": API_KEY, "max_retries": 0, "timeout": 30}


# A client of its own for each conversation would mean reading the machine's certificates each time.
@functools.cache
def openai_client(rig: Rig) -> openai.OpenAI:
    """OpenAI's SDK."""
    return openai.OpenAI(**options(rig.gateway.url))


@functools.cache
def anthropic_client(rig: Rig) -> anthropic.Anthropic:
    """Anthropic's SDK."""
    return anthropic.Anthropic(**options(rig.gateway.base))


def close(rig: Rig) -> None:
    """Close what clients have left open."""
    openai_client(rig).close()
    anthropic_client(rig).close()
    rig.runner.run(litellm.close_litellm_async_clients())


def _chat_turn(message: Any, finish: str | None, usage: Any) -> Turn:
    """OpenAI's words, of which LiteLLM makes objects of its own."""
    cached, thought = usage.prompt_tokens_details, usage.completion_tokens_details
    return Turn(
        message.content or "",
        [(call.id, call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()],
        finish,
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
        (cached and cached.cached_tokens) or 0,
        (thought and thought.reasoning_tokens) or 0,
        getattr(message, "reasoning_content", None) or "",
    )


def _chat_results(turn: Turn) -> list[Any]:
    return [{"role": "tool", "tool_call_id": one, "content": weather(**given)} for one, _, given in turn.calls]


def openai_chat(rig: Rig, model: str, streamed: bool, think: bool) -> list[Turn]:
    """`chat.completions.create`, and its `stream` helper."""
    messages: list[Any] = [ASKED]
    more: dict[str, Any] = {"reasoning_effort": "medium"} if think else {}
    turns: list[Turn] = []
    client = openai_client(rig)
    while not turns or turns[-1].calls:
        arguments: dict[str, Any] = {"model": model, "messages": messages, "tools": [CHAT_TOOL], **more}
        if streamed:
            with client.chat.completions.stream(**arguments, stream_options={"include_usage": True}) as stream:
                seen = "".join(event.delta for event in stream if event.type == "content.delta")
                made: Any = stream.get_final_completion()
            assert seen == (made.choices[0].message.content or "")
        else:
            made = client.chat.completions.create(**arguments)
        assert made.model == model
        [choice] = made.choices
        turns.append(_chat_turn(choice.message, choice.finish_reason, made.usage))
        messages += [choice.message, *_chat_results(turns[-1])]
    return turns


def openai_responses(rig: Rig, model: str, streamed: bool, think: bool) -> list[Turn]:
    """`responses.create`, and `responses.stream`."""
    items: list[Any] = [ASKED]
    more: dict[str, Any] = {"reasoning": SUMMARY} if think else {}
    turns: list[Turn] = []
    client = openai_client(rig)
    while not turns or turns[-1].calls:
        arguments: dict[str, Any] = {"model": model, "input": items, "tools": [RESPONSES_TOOL], "store": False}
        if streamed:
            with client.responses.stream(**arguments, **more) as stream:
                seen = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
                made: Any = stream.get_final_response()
            assert seen == made.output_text
        else:
            made = client.responses.create(**arguments, **more)
        calls = [item for item in made.output if item.type == "function_call"]
        thoughts = [part.text for item in made.output if item.type == "reasoning" for part in item.summary]
        turns.append(
            Turn(
                made.output_text,
                [(call.call_id, call.name, json.loads(call.arguments)) for call in calls],
                made.status,
                made.usage.input_tokens,
                made.usage.output_tokens,
                made.usage.total_tokens,
                made.usage.input_tokens_details.cached_tokens,
                made.usage.output_tokens_details.reasoning_tokens,
                "".join(thoughts),
            )
        )
        items += made.output
        for one, _, given in turns[-1].calls:
            items.append({"type": "function_call_output", "call_id": one, "output": weather(**given)})
    return turns


def _message_turn(made: Any) -> Turn:
    return Turn(
        "".join(block.text for block in made.content if block.type == "text"),
        [(block.id, block.name, block.input) for block in made.content if block.type == "tool_use"],
        made.stop_reason,
        made.usage.input_tokens,
        made.usage.output_tokens,
        cached=made.usage.cache_read_input_tokens or 0,
        reasoning="".join(block.thinking for block in made.content if block.type == "thinking"),
    )


def _message_options(model: str, think: bool) -> dict[str, Any]:
    return {"model": model, "max_tokens": 4000, **({"thinking": BUDGET} if think else {})}


def anthropic_messages(rig: Rig, model: str, streamed: bool, think: bool) -> list[Turn]:
    """`messages.create`, and `messages.stream`."""
    messages: list[Any] = [ASKED]
    turns: list[Turn] = []
    client = anthropic_client(rig)
    while not turns or turns[-1].calls:
        arguments = {**_message_options(model, think), "messages": messages, "tools": [MESSAGES_TOOL]}
        if streamed:
            with client.messages.stream(**arguments) as stream:
                seen = "".join(stream.text_stream)
                made: Any = stream.get_final_message()
            assert seen == "".join(block.text for block in made.content if block.type == "text")
        else:
            made = client.messages.create(**arguments)
        turns.append(_message_turn(made))
        results: list[Any] = [
            {"type": "tool_result", "tool_use_id": one, "content": weather(**given)}
            for one, _, given in turns[-1].calls
        ]
        messages += [{"role": "assistant", "content": made.content}, {"role": "user", "content": results}]
    return turns


def anthropic_runner(rig: Rig, model: str, streamed: bool, think: bool) -> list[Turn]:
    """The beta tool runner, which calls the function by itself and would have the server keep the conversation."""
    tool = anthropic.beta_tool(weather, name="weather", description=DESCRIPTION, input_schema=PARAMETERS)
    client = anthropic_client(rig)
    arguments: dict[str, Any] = {**_message_options(model, think), "messages": [ASKED], "tools": [tool]}
    if streamed:
        runner = client.beta.messages.tool_runner(**arguments, stream=True)
        return [_message_turn(stream.get_final_message()) for stream in runner]
    return [_message_turn(made) for made in client.beta.messages.tool_runner(**arguments)]


def _chain(model: Any, streamed: bool) -> list[Turn]:
    """The conversation with any chat model of LangChain."""
    bound = model.bind_tools([CHAT_TOOL])
    messages: list[Any] = [HumanMessage(QUESTION)]
    turns: list[Turn] = []
    while not turns or turns[-1].calls:
        made = _joined(bound.stream(messages)) if streamed else bound.invoke(messages)
        assert not made.invalid_tool_calls
        known, about = made.response_metadata, made.usage_metadata
        assert about is not None
        thoughts = [block["reasoning"] for block in made.content_blocks if "reasoning" in block]
        turns.append(
            Turn(
                str(made.text),
                [(call["id"] or "", call["name"], call["args"]) for call in made.tool_calls],
                known.get("finish_reason") or known.get("stop_reason") or known.get("status"),
                about["input_tokens"],
                about["output_tokens"],
                about["total_tokens"],
                about.get("input_token_details", {}).get("cache_read", 0),
                about.get("output_token_details", {}).get("reasoning", 0),
                "".join(thoughts),
            )
        )
        results = [ToolMessage(weather(**given), tool_call_id=one) for one, _, given in turns[-1].calls]
        messages += [made, *results]
    return turns


def _joined(chunks: Iterable[AIMessageChunk]) -> AIMessage:
    whole: AIMessageChunk | None = None
    for chunk in chunks:
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    return whole


def langchain_chat(rig: Rig, model: str, streamed: bool, think: bool) -> list[Turn]:
    """`ChatOpenAI`, which does not know members of other vendors, so their reasoning is nobody's."""
    more: dict[str, Any] = {"reasoning_effort": "medium"} if think else {}
    turns = _chain(ChatOpenAI(model=model, stream_usage=True, **options(rig.gateway.url), **more), streamed)
    return [replace(turn, reasoning=None) for turn in turns]


def langchain_responses(rig: Rig, model: str, streamed: bool, think: bool) -> list[Turn]:
    """The same by way of the Responses API."""
    more: dict[str, Any] = {"reasoning": SUMMARY} if think else {}
    return _chain(ChatOpenAI(model=model, use_responses_api=True, **options(rig.gateway.url), **more), streamed)


def langchain_messages(rig: Rig, model: str, streamed: bool, think: bool) -> list[Turn]:
    """`ChatAnthropic`."""
    return _chain(ChatAnthropic(**_message_options(model, think), **options(rig.gateway.base)), streamed)


# By their names LiteLLM takes the models for some that do not reason.
EFFORT: dict[str, Any] = {"reasoning_effort": "medium", "allowed_openai_params": ["reasoning_effort"]}
THINKING: dict[str, Any] = {"thinking": BUDGET, "max_tokens": 4000, "allowed_openai_params": ["thinking"]}


def _lite(model: str, base: str, more: dict[str, Any], call: Callable[..., Any]) -> list[Turn]:
    messages: list[Any] = [ASKED]
    common = {"model": model, "api_base": base, "api_key": API_KEY, "max_retries": 0, "timeout": 30, **more}
    turns: list[Turn] = []
    while not turns or turns[-1].calls:
        chunks, made = call(**common, messages=messages, tools=[CHAT_TOOL])
        [choice] = made.choices
        turn = _chat_turn(choice.message, choice.finish_reason, made.usage)
        if chunks:
            # What joins the chunks makes up a reason and a sum of its own.
            reasons = [one.choices[0].finish_reason for one in chunks if one.choices and one.choices[0].finish_reason]
            turn = replace(turn, finish=reasons[-1], total=None)
        turns.append(turn)
        messages += [choice.message, *_chat_results(turn)]
    return turns


def _completion(rig: Rig, streamed: bool) -> Callable[..., Any]:
    """`litellm.completion`: chunks, and the whole answer."""

    def call(**arguments: Any) -> tuple[list[Any], Any]:
        if not streamed:
            return [], litellm.completion(**arguments)
        chunks = [*litellm.completion(**arguments, stream=True, stream_options={"include_usage": True})]
        return chunks, litellm.stream_chunk_builder(chunks)

    return call


def _acompletion(rig: Rig, streamed: bool) -> Callable[..., Any]:
    """The same of `litellm.acompletion`."""

    async def acall(**arguments: Any) -> tuple[list[Any], Any]:
        if not streamed:
            return [], await litellm.acompletion(**arguments)
        stream = await litellm.acompletion(**arguments, stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]
        return chunks, litellm.stream_chunk_builder(chunks)

    return lambda **arguments: rig.runner.run(acall(**arguments))


def litellm_chat(rig: Rig, model: str, streamed: bool, think: bool) -> list[Turn]:
    """LiteLLM as a client of chat completions."""
    return _lite(f"openai/{model}", rig.gateway.url, EFFORT if think else {}, _completion(rig, streamed))


def litellm_messages(rig: Rig, model: str, streamed: bool, think: bool) -> list[Turn]:
    """LiteLLM as a client of the Messages API."""
    return _lite(f"anthropic/{model}", rig.gateway.base, THINKING if think else {}, _completion(rig, streamed))


def litellm_async(rig: Rig, model: str, streamed: bool, think: bool) -> list[Turn]:
    """LiteLLM as an asynchronous client of chat completions."""
    return _lite(f"openai/{model}", rig.gateway.url, EFFORT if think else {}, _acompletion(rig, streamed))


def litellm_async_messages(rig: Rig, model: str, streamed: bool, think: bool) -> list[Turn]:
    """LiteLLM as an asynchronous client of the Messages API."""
    return _lite(f"anthropic/{model}", rig.gateway.base, THINKING if think else {}, _acompletion(rig, streamed))


class Forecast(pydantic.BaseModel):
    """The weather to come."""

    city: str
    days: int
    kind: Literal["rain", "sun"]
    note: str | None


Parse = Callable[[Rig, str], Forecast | None]
"""An answer of an alias in the form that a schema demands, as a client reads it."""


def _messages_asked(model: str) -> dict[str, Any]:
    return {"model": model, "messages": [ASKED]}


def _streamed_chat(rig: Rig, model: str) -> Forecast | None:
    with openai_client(rig).chat.completions.stream(**_messages_asked(model), response_format=Forecast) as stream:
        return stream.get_final_completion().choices[0].message.parsed


def _streamed_responses(rig: Rig, model: str) -> Forecast | None:
    with openai_client(rig).responses.stream(model=model, input=[ASKED], text_format=Forecast) as stream:
        return stream.get_final_response().output_parsed


def _streamed_messages(rig: Rig, model: str) -> Forecast | None:
    with anthropic_client(rig).messages.stream(
        **_messages_asked(model), max_tokens=500, output_format=Forecast
    ) as stream:
        return stream.get_final_message().parsed_output


def _structured(method: str, **more: Any) -> Parse:
    def parse(rig: Rig, model: str) -> Forecast | None:
        chat = ChatOpenAI(model=model, **options(rig.gateway.url), **more)
        found: Any = chat.with_structured_output(Forecast, method=method).invoke(QUESTION)
        return found

    return parse


def _structured_messages(method: str) -> Parse:
    def parse(rig: Rig, model: str) -> Forecast | None:
        chat = ChatAnthropic(max_tokens=500, model=model, **options(rig.gateway.base))
        found: Any = chat.with_structured_output(Forecast, method=method).invoke(QUESTION)
        return found

    return parse


def _lite_parsed(rig: Rig, model: str) -> Forecast | None:
    common: dict[str, Any] = {"api_base": rig.gateway.url, "api_key": API_KEY, "messages": [ASKED]}
    made: Any = litellm.completion(model=f"openai/{model}", response_format=Forecast, **common)
    return Forecast.model_validate_json(made.choices[0].message.content)


PARSERS: dict[str, Parse] = {
    "openai-chat": lambda rig, model: (
        openai_client(rig)
        .chat.completions.parse(**_messages_asked(model), response_format=Forecast)
        .choices[0]
        .message.parsed
    ),
    "openai-chat-stream": _streamed_chat,
    "openai-responses": lambda rig, model: (
        openai_client(rig).responses.parse(model=model, input=[ASKED], text_format=Forecast).output_parsed
    ),
    "openai-responses-stream": _streamed_responses,
    "anthropic": lambda rig, model: (
        anthropic_client(rig)
        .messages.parse(**_messages_asked(model), max_tokens=500, output_format=Forecast)
        .parsed_output
    ),
    "anthropic-stream": _streamed_messages,
    "langchain-openai": _structured("json_schema"),
    "langchain-openai-function": _structured("function_calling"),
    "langchain-openai-responses": _structured("json_schema", use_responses_api=True),
    "langchain-openai-responses-function": _structured("function_calling", use_responses_api=True),
    "langchain-anthropic": _structured_messages("json_schema"),
    "langchain-anthropic-function": _structured_messages("function_calling"),
    "litellm-openai": _lite_parsed,
}


Embed = Callable[[Rig, str, list[str]], list[list[float]]]
"""Vectors of texts."""


def _lite_vectors(rig: Rig, model: str, texts: list[str]) -> list[list[float]]:
    made = litellm.embedding(f"openai/{model}", input=texts, api_base=rig.gateway.url, api_key=API_KEY)
    return [one["embedding"] for one in made.data]


def _chained_vectors(rig: Rig, model: str, texts: list[str], **more: Any) -> list[list[float]]:
    return OpenAIEmbeddings(model=model, **options(rig.gateway.url), **more).embed_documents(texts)


EMBEDDERS: dict[str, Embed] = {
    "openai": lambda rig, model, texts: [
        one.embedding for one in openai_client(rig).embeddings.create(model=model, input=texts).data
    ],
    "langchain-openai": functools.partial(_chained_vectors, check_embedding_ctx_length=False),
    "langchain-openai-tokens": _chained_vectors,
    "litellm-openai": _lite_vectors,
}
"""LangChain sends tokens where it is not told to send texts."""
