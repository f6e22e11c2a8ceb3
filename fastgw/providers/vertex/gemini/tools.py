"""Functions, calls and results in Gemini's terms.

Gemini's calls have no ids, and some carry a signature that must come back with the call. Both live in the id that
callers get and send back: `call_<hex>` alone, or followed by `_` and the signature in base64url without padding (RFC
4648 §5). Other providers, who may answer the next turn, take no other characters in an id.
(https://ai.google.dev/gemini-api/docs/thought-signatures)
"""

import re
import secrets
from operator import itemgetter
from typing import Any, Final

from fastgw.core.json import load_object, write
from fastgw.providers.canonical import ToolCall
from fastgw.providers.vertex.gemini.content import Part, plain
from fastgw.providers.vertex.gemini.schema import Room, cleaned

_SIGNED: Final = re.compile(r"call_[0-9a-f]{24}_([A-Za-z0-9_-]+)")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
SIGNING: Final = "gemini-3"
"""How the names of models begin that demand signatures."""
UNSIGNED: Final = "skip_thought_signature_validator"
"""What stands for the signature of a call that another model has made."""
MAX_NAME: Final = 128
"""Characters of a function's name that its results repeat: no model takes more."""
_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


def declarations(tools: object) -> list[dict[str, Any]]:
    """The functions of `tools`; other kinds of tools are left out."""
    made: list[dict[str, Any]] = []
    room = Room()
    for tool in tools if isinstance(tools, list) else ():
        function = (
            tool.get("function") if isinstance(tool, dict) and tool.get("type", "function") == "function" else None
        )
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            continue
        declared = {"name": function["name"]}
        if isinstance(function.get("description"), str):
            declared["description"] = function["description"]
        if isinstance(function.get("parameters"), dict):
            parameters = cleaned(function["parameters"], room)
            if parameters and (parameters.get("properties") or parameters.get("type") != "object"):
                declared["parameters"] = parameters
        made.append(declared)
    return made


def choice_of(choice: object) -> dict[str, Any] | None:
    """`tool_choice` as a calling configuration."""
    if isinstance(choice, str) and choice in _MODES:
        return {"mode": _MODES[choice]}
    function = choice.get("function") if isinstance(choice, dict) else None
    if isinstance(function, dict) and isinstance(function.get("name"), str):
        return {"mode": "ANY", "allowedFunctionNames": [function["name"]]}
    return None


class Calls:
    """The calls of a conversation, and the results that the newest of them have so far.

    A result has no id: it belongs to the call at its place, so results are put into the order of their calls. What is
    no text in a result stands behind all of them, as newer content of the same turn.
    """

    __slots__ = ("_names", "_places", "_results")

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._places: dict[str, int] = {}
        self._results: list[tuple[int, Part, list[Part]]] = []

    def parts(self, calls: object, *, signed: bool) -> list[Part]:
        """The parts of an assistant's calls. `signed`: the model refuses a turn whose first call has no signature."""
        made: list[Part] = []
        self._places = {}
        for call in calls if isinstance(calls, list) else ():
            function = call.get("function") if isinstance(call, dict) else None
            if not isinstance(function, dict) or not isinstance(function.get("name"), str):
                continue
            arguments = function.get("arguments")
            given = arguments if isinstance(arguments, dict) else load_object(arguments)
            part: Part = {"functionCall": {"name": function["name"], "args": given}}
            id = call.get("id")
            if isinstance(id, str):
                self._names[id], self._places[id] = function["name"], len(made)
                if (signature := _signature(id)) is not None:
                    part["thoughtSignature"] = signature
            if signed and not made:
                part.setdefault("thoughtSignature", UNSIGNED)
            made.append(part)
        return made

    def answer(self, message: dict[str, Any], content: list[Part]) -> None:
        """A tool's result; `content` is what it holds."""
        id, name = message.get("tool_call_id"), message.get("name")
        found = self._names.get(id) if isinstance(id, str) else None
        if found is None:
            found = name if isinstance(name, str) and name else "unknown"
        found = found[:MAX_NAME]
        response = {"name": found, "response": {"result": plain(message.get("content"))}}
        place = self._places.get(id, len(self._places)) if isinstance(id, str) else len(self._places)
        media = [part for part in content if "text" not in part]
        label = [{"text": f"Returned by {found}:"}] if media else []
        self._results.append((place, {"functionResponse": response}, label + media))

    def answers(self) -> list[dict[str, Any]]:
        """The turn of the results since the last call, if there are any."""
        if not self._results:
            return []
        results = sorted(self._results, key=itemgetter(0))
        self._results = []
        responses = [response for _, response, _ in results]
        return [{"role": "user", "parts": responses + [part for _, _, media in results for part in media]}]


def tool_call(part: dict[str, Any]) -> ToolCall | None:
    """The call in a part of an answer."""
    call = part.get("functionCall")
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return None
    id = f"call_{secrets.token_hex(12)}"
    signature = part.get("thoughtSignature")
    if isinstance(signature, str) and _BASE64.fullmatch(signature):
        id += "_" + signature.rstrip("=").replace("+", "-").replace("/", "_")
    arguments = call.get("args")
    return ToolCall(id, call["name"], write(arguments if isinstance(arguments, dict) else {}).decode())


def _signature(id: str) -> str | None:
    """The signature in the id of a call."""
    found = _SIGNED.fullmatch(id)
    if found is None:
        return None
    text = found[1].replace("-", "+").replace("_", "/")
    return text + "=" * (-len(text) % 4)
