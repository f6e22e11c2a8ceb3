"""One conversation, written as a request of every dialect of callers and read back from what every protocol is sent.

Written from the providers' references, not with the gateway's own code. What a reader finds is put into one form, so
that it can be compared with what was meant: a `Request`, whose flow is one list of everything that was said, in order.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

Document = dict[str, Any]
Piece = tuple[str, ...]
"""`("text", t)`, `("data", media type, base64)` or `("url", u)`."""


@dataclass(frozen=True)
class Tool:
    """A function that the model may call."""

    name: str
    description: str
    schema: Document


@dataclass(frozen=True)
class Said:
    """A step. `role` is user, assistant, call or result; `pieces` of all but calls, `name` and `arguments` of calls."""

    role: str
    pieces: tuple[Piece, ...] = ()
    id: str = ""
    name: str = ""
    arguments: Any = None


@dataclass(frozen=True)
class Request:
    """A request. None is absent; `choice` is auto, none, required, or `=` and a tool's name."""

    flow: tuple[Said, ...]
    system: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] | None = None
    user: str | None = None
    tools: tuple[Tool, ...] = ()
    choice: str | None = None
    parallel: bool | None = None
    schema: Any = None


def present(**members: Any) -> Document:
    """The members that are there."""
    return {name: value for name, value in members.items() if value is not None}


def joined(steps: list[Said]) -> tuple[Said, ...]:
    """Steps with what one role says in a row put together, and its adjacent texts as one."""
    made: list[Said] = []
    for step in steps:
        pieces = tuple(step.pieces)
        if made and step.role in ("user", "assistant") and made[-1].role == step.role:
            pieces = made.pop().pieces + pieces
        whole: list[Piece] = []
        for piece in pieces:
            if whole and piece[0] == whole[-1][0] == "text":
                piece = ("text", whole.pop()[1] + piece[1])
            if piece != ("text", ""):
                whole.append(piece)
        if whole or step.role in ("call", "result"):
            made.append(replace(step, pieces=tuple(whole)))
    return tuple(made)


def parsed(arguments: str) -> Any:
    """The arguments that a JSON text holds."""
    return json.loads(arguments)


# -- chat completions


def chat_part(piece: Piece) -> Document:
    """A content part."""
    if piece[0] == "text":
        return {"type": "text", "text": piece[1]}
    if piece[0] == "data" and not piece[1].startswith("image/"):
        data = f"data:{piece[1]};base64,{piece[2]}"
        return {"type": "file", "file": {"filename": "a.pdf", "file_data": data}}
    url = piece[1] if piece[0] == "url" else f"data:{piece[1]};base64,{piece[2]}"
    return {"type": "image_url", "image_url": {"url": url}}


def chat_content(pieces: tuple[Piece, ...]) -> Any:
    """The content of a message."""
    return pieces[0][1] if len(pieces) == 1 and pieces[0][0] == "text" else [chat_part(piece) for piece in pieces]


def chat_request(request: Request) -> Document:
    """A chat request."""
    messages: list[Document] = [{"role": "system", "content": request.system}] if request.system is not None else []
    for step in request.flow:
        if step.role == "call":
            function = {"name": step.name, "arguments": json.dumps(step.arguments)}
            if messages[-1]["role"] != "assistant":
                messages.append({"role": "assistant", "content": None})
            call = {"id": step.id, "type": "function", "function": function}
            messages[-1].setdefault("tool_calls", []).append(call)
        elif step.role == "result":
            messages.append({"role": "tool", "tool_call_id": step.id, "content": chat_content(step.pieces)})
        else:
            messages.append({"role": step.role, "content": chat_content(step.pieces)})
    tools = [{"type": "function", "function": vars_of(tool, "parameters")} for tool in request.tools]
    choice: Any = request.choice
    if choice is not None and choice.startswith("="):
        choice = {"type": "function", "function": {"name": choice[1:]}}
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": request.schema}}
    return {
        "model": "alias",
        "messages": messages,
        **present(
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            stop=list(request.stop) if request.stop else None,
            user=request.user,
            tools=tools or None,
            tool_choice=choice,
            parallel_tool_calls=request.parallel,
            response_format=wanted if request.schema is not None else None,
        ),
    }


def vars_of(tool: Tool, schema: str) -> Document:
    """A tool's members, with its schema under a name."""
    return {"name": tool.name, "description": tool.description, schema: tool.schema}


def data_piece(url: str) -> Piece:
    """What a URL refers to."""
    if not url.startswith("data:"):
        return ("url", url)
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    return ("data", kind, data)


def chat_pieces(content: Any) -> tuple[Piece, ...]:
    """The pieces of a content."""
    if content is None or isinstance(content, str):
        return (("text", content or ""),)
    made: list[Piece] = []
    for part in content:
        if part["type"] == "text":
            made.append(("text", part["text"]))
        else:
            held = part[part["type"]]
            made.append(data_piece(held.get("url") or held.get("file_data") or held["file_url"]))
    return tuple(made)


def read_chat(body: Document) -> Request:
    """What a chat request says."""
    steps: list[Said] = []
    system: list[str] = []
    for message in body["messages"]:
        pieces = chat_pieces(message.get("content"))
        if message["role"] == "system":
            system.append(pieces[0][1])
        elif message["role"] == "tool":
            steps.append(Said("result", pieces, message["tool_call_id"]))
        else:
            steps.append(Said(message["role"], pieces))
            for call in message.get("tool_calls") or ():
                name, arguments = call["function"]["name"], parsed(call["function"]["arguments"])
                steps.append(Said("call", (), call["id"], name, arguments))
    choice = body.get("tool_choice")
    wanted = body.get("response_format")
    return Request(
        joined(steps),
        "".join(system) or None,
        body.get("max_tokens"),
        body.get("temperature"),
        body.get("top_p"),
        tuple(body["stop"]) if "stop" in body else None,
        body.get("user"),
        tuple(
            Tool(tool["function"]["name"], tool["function"]["description"], tool["function"]["parameters"])
            for tool in body.get("tools") or ()
        ),
        f"={choice['function']['name']}" if isinstance(choice, dict) else choice,
        body.get("parallel_tool_calls"),
        wanted["json_schema"]["schema"] if wanted else None,
    )


# -- the Messages API


def block(piece: Piece) -> Document:
    """A content block."""
    if piece[0] == "text":
        return {"type": "text", "text": piece[1]}
    if piece[0] == "url":
        return {"type": "image", "source": {"type": "url", "url": piece[1]}}
    kind = "image" if piece[1].startswith("image/") else "document"
    return {"type": kind, "source": {"type": "base64", "media_type": piece[1], "data": piece[2]}}


def messages_request(request: Request) -> Document:
    """A Messages request, with the roles alternating."""
    turns: list[Document] = []
    for step in request.flow:
        role = "assistant" if step.role in ("assistant", "call") else "user"
        if step.role == "call":
            blocks = [{"type": "tool_use", "id": step.id, "name": step.name, "input": step.arguments}]
        elif step.role == "result":
            content = [block(piece) for piece in step.pieces]
            blocks = [{"type": "tool_result", "tool_use_id": step.id, "content": content}]
        else:
            blocks = [block(piece) for piece in step.pieces]
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    choice: Any = {"auto": "auto", "none": "none", "required": "any"}.get(request.choice or "")
    choice = {"type": choice} if choice else None
    if request.choice is not None and request.choice.startswith("="):
        choice = {"type": "tool", "name": request.choice[1:]}
    if request.parallel is False and request.choice != "none":
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    wanted = {"format": {"type": "json_schema", "schema": request.schema}}
    return {
        "model": "alias",
        "messages": turns,
        **present(
            system=request.system,
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            stop_sequences=list(request.stop) if request.stop else None,
            metadata={"user_id": request.user} if request.user else None,
            tools=[vars_of(tool, "input_schema") for tool in request.tools] or None,
            tool_choice=choice,
            output_config=wanted if request.schema is not None else None,
        ),
    }


def block_pieces(content: Any) -> tuple[Piece, ...]:
    """The pieces of a content."""
    if isinstance(content, str):
        return (("text", content),)
    made: list[Piece] = []
    for one in content:
        if one["type"] == "text":
            made.append(("text", one["text"]))
        else:
            source = one["source"]
            remote = source["type"] == "url"
            made.append(("url", source["url"]) if remote else ("data", source["media_type"], source["data"]))
    return tuple(made)


def read_messages(body: Document) -> Request:
    """What a Messages request says."""
    steps: list[Said] = []
    for turn in body["messages"]:
        if isinstance(turn["content"], str):
            steps.append(Said(turn["role"], (("text", turn["content"]),)))
            continue
        for one in turn["content"]:
            if one["type"] == "tool_use":
                steps.append(Said("call", (), one["id"], one["name"], one["input"]))
            elif one["type"] == "tool_result":
                steps.append(Said("result", block_pieces(one["content"]), one["tool_use_id"]))
            else:
                steps.append(Said(turn["role"], block_pieces([one])))
    choice = body.get("tool_choice") or {}
    kind = {"auto": "auto", "none": "none", "any": "required"}.get(choice.get("type", ""))
    wanted = body.get("output_config")
    tools = body.get("tools") or ()
    return Request(
        joined(steps),
        body.get("system"),
        body.get("max_tokens"),
        body.get("temperature"),
        body.get("top_p"),
        tuple(body["stop_sequences"]) if "stop_sequences" in body else None,
        body["metadata"]["user_id"] if "metadata" in body else None,
        tuple(Tool(tool["name"], tool["description"], tool["input_schema"]) for tool in tools),
        f"={choice['name']}" if "name" in choice else kind,
        False if choice.get("disable_parallel_tool_use") else None,
        wanted["format"]["schema"] if wanted else None,
    )


# -- the Responses API


def input_part(piece: Piece, said: str = "input_text") -> Document:
    """A content part."""
    if piece[0] == "text":
        return {"type": said, "text": piece[1]}
    if piece[0] == "data" and not piece[1].startswith("image/"):
        return {"type": "input_file", "filename": "a.pdf", "file_data": f"data:{piece[1]};base64,{piece[2]}"}
    return {
        "type": "input_image",
        "image_url": piece[1] if piece[0] == "url" else f"data:{piece[1]};base64,{piece[2]}",
    }


def responses_request(request: Request) -> Document:
    """A Responses request; there are no stop sequences."""
    items: list[Document] = []
    for step in request.flow:
        if step.role == "call":
            arguments = json.dumps(step.arguments)
            items.append({"type": "function_call", "call_id": step.id, "name": step.name, "arguments": arguments})
        elif step.role == "result":
            output = [input_part(piece) for piece in step.pieces]
            items.append({"type": "function_call_output", "call_id": step.id, "output": output})
        else:
            said = "output_text" if step.role == "assistant" else "input_text"
            content = [input_part(piece, said) for piece in step.pieces]
            items.append({"type": "message", "role": step.role, "content": content})
    choice: Any = request.choice
    if choice is not None and choice.startswith("="):
        choice = {"type": "function", "name": choice[1:]}
    wanted = {"format": {"type": "json_schema", "name": "answer", "schema": request.schema}}
    return {
        "model": "alias",
        "input": items,
        **present(
            instructions=request.system,
            max_output_tokens=request.max_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            user=request.user,
            tools=[{"type": "function", **vars_of(tool, "parameters")} for tool in request.tools] or None,
            tool_choice=choice,
            parallel_tool_calls=request.parallel,
            text=wanted if request.schema is not None else None,
        ),
    }


# -- Bedrock's Converse

FORMATS = {"png": "image/png", "pdf": "application/pdf"}


def converse_pieces(content: list[Document]) -> tuple[Piece, ...]:
    """The pieces of a content."""
    made: list[Piece] = []
    for one in content:
        if "text" in one:
            made.append(("text", one["text"]))
        else:
            held = one.get("image") or one["document"]
            made.append(("data", FORMATS[held["format"]], held["source"]["bytes"]))
    return tuple(made)


def read_converse(body: Document) -> Request:
    """What a request of Converse says."""
    steps: list[Said] = []
    for turn in body["messages"]:
        for one in turn["content"]:
            if "toolUse" in one:
                use = one["toolUse"]
                steps.append(Said("call", (), use["toolUseId"], use["name"], use["input"]))
            elif "toolResult" in one:
                result = one["toolResult"]
                steps.append(Said("result", converse_pieces(result["content"]), result["toolUseId"]))
            else:
                steps.append(Said(turn["role"], converse_pieces([one])))
    inference = body.get("inferenceConfig") or {}
    config = body.get("toolConfig") or {}
    choice = config.get("toolChoice") or {}
    wanted = body.get("outputConfig")
    specs = [tool["toolSpec"] for tool in config.get("tools") or ()]
    return Request(
        joined(steps),
        "".join(part["text"] for part in body.get("system") or ()) or None,
        inference.get("maxTokens"),
        inference.get("temperature"),
        inference.get("topP"),
        tuple(inference["stopSequences"]) if "stopSequences" in inference else None,
        None,
        tuple(Tool(spec["name"], spec.get("description", ""), spec["inputSchema"]["json"]) for spec in specs),
        f"={choice['tool']['name']}" if "tool" in choice else "required" if "any" in choice else None,
        None,
        json.loads(wanted["textFormat"]["structure"]["jsonSchema"]["schema"]) if wanted else None,
    )


# -- Gemini


def gemini_piece(part: Document) -> Piece:
    """The piece that a part is."""
    if "text" in part:
        return ("text", part["text"])
    if "fileData" in part:
        return ("url", part["fileData"]["fileUri"])
    return ("data", part["inlineData"]["mimeType"], part["inlineData"]["data"])


def read_gemini(body: Document) -> Request:
    """What a request of generateContent says. Calls have no ids; what results hold beside texts stands behind them,
    with a line that says of which, and is read as what the user says."""
    steps: list[Said] = []
    for turn in body["contents"]:
        for part in turn["parts"]:
            if "functionCall" in part:
                steps.append(Said("call", (), "", part["functionCall"]["name"], part["functionCall"]["args"]))
            elif "functionResponse" in part:
                result = part["functionResponse"]
                steps.append(Said("result", (("text", result["response"]["result"]),), "", result["name"]))
            else:
                steps.append(Said("assistant" if turn["role"] == "model" else "user", (gemini_piece(part),)))
    config = body.get("generationConfig") or {}
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    named = calling.get("allowedFunctionNames")
    choice = {"AUTO": "auto", "NONE": "none", "ANY": "required"}.get(calling.get("mode", ""))
    declared = [tool for group in body.get("tools") or () for tool in group["functionDeclarations"]]
    return Request(
        joined(steps),
        "".join(part["text"] for part in body["systemInstruction"]["parts"]) if "systemInstruction" in body else None,
        config.get("maxOutputTokens"),
        config.get("temperature"),
        config.get("topP"),
        tuple(config["stopSequences"]) if "stopSequences" in config else None,
        None,
        tuple(Tool(tool["name"], tool["description"], tool["parameters"]) for tool in declared),
        f"={named[0]}" if named else choice,
        None,
        config.get("responseSchema"),
    )


WRITERS: dict[str, Callable[[Request], Document]] = {
    "chat": chat_request,
    "messages": messages_request,
    "responses": responses_request,
}
READERS: dict[str, Callable[[Document], Request]] = {
    "openai": read_chat,
    "azure-openai": read_chat,
    "vertex+llama": read_chat,
    "anthropic": read_messages,
    "bedrock+claude": read_messages,
    "vertex+claude": read_messages,
    "bedrock": read_converse,
    "vertex": read_gemini,
}
"""By kind of upstream."""
