"""What the members of a request must be, for the endpoints whose bodies are otherwise relayed as they are.

`asked` reads what is needed of every request. `mistyped` looks at the rest where a call is translated: an upstream of
another protocol would complain about names that the caller never wrote.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from fastgw._speedups.splice import FALSE, NULL, STRING, TRUE
from fastgw.core.errors import invalid_request
from fastgw.endpoints.members import members_of_request, text_of
from fastgw.gateway.exchange import Exchange

Check = tuple[Callable[[Any], bool], str]

NUMBER: Final[Check] = (lambda value: type(value) in (int, float), "a number")
COUNT: Final[Check] = (lambda value: type(value) is int and value >= 0, "an integer, 0 or more")
TEXT: Final[Check] = (lambda value: isinstance(value, str), "a string")
FLAG: Final[Check] = (lambda value: isinstance(value, bool), "a boolean")
OBJECT: Final[Check] = (lambda value: isinstance(value, dict), "an object")
CHOICE: Final[Check] = (lambda value: isinstance(value, str | dict), "a string or an object")
TEXTS: Final[Check] = (lambda value: _list_of(value, str), "an array of strings")
OBJECTS: Final[Check] = (lambda value: _list_of(value, dict), "an array of objects")


def asked(
    ex: Exchange, body: bytes, other: bytes = b"", *, streams: bool = True
) -> tuple[str, tuple[int, int], bool, int]:
    """The model's name, where it is in the body, whether a stream is wanted, and what kind of value another member has,
    NULL for none. `streams`: there is a stream to want. Raises 400."""
    names = (b"model", b"stream", other) if other else (b"model", b"stream")
    model, stream, *more = members_of_request(body, names)
    if model is None or model[0] != STRING:
        ex.alias = ""
        code = "missing_parameter" if model is None else "invalid_parameter"
        raise invalid_request("`model` field missing", param="model", code=code)
    name, kind = text_of(body, model), NULL if stream is None else stream[0]
    if streams and kind not in (NULL, FALSE, TRUE):
        ex.alias = name
        raise invalid_request("`stream` must be a boolean", param="stream", code="invalid_parameter")
    found = NULL if not more or more[0] is None else more[0][0]
    return name, (model[1], model[2]), streams and kind == TRUE, found


def mistyped(holder: Mapping[str, Any], checks: Mapping[str, Check]) -> Iterable[tuple[str, str]]:
    """The members that are not what they must be: name, and what is wrong with it. Null is as good as absent."""
    for name, (good, words) in checks.items():
        value = holder.get(name)
        if value is not None and not good(value):
            yield name, f"`{name}` must be {words}"


def _list_of(value: object, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)
