"""What `fastgw._speedups.loglines` does, as one would write it: foreign text, and the lines about a request."""

import json
import re

CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def decoded(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def inside(value: str | bytes) -> bytes:
    """Text between quotes: JSON's spelling, and for every other control its number."""
    text = json.dumps(decoded(value).encode("utf-8", "replace").decode(), ensure_ascii=False)[1:-1]
    return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()


def plain(value: str | bytes | None, limit: int = 256) -> str:
    return CONTROLS.sub("", decoded(value or ""))[:limit]


def field(key: str, value: str | bytes | int) -> bytes:
    return b" %b=%b" % (key.encode(), b"%d" % value if isinstance(value, int) else b'"%b"' % inside(value))


def lines(
    request_id: bytes,
    event: int,
    streamed: object,
    method: bytes,
    path: str | bytes,
    status: int,
    seconds: float,
    provider: str | None,
    model: str | None,
    caller: str | None,
    prompt: int,
    completion: int,
    total: int,
    answer: str | bytes | None,
    version: str | bytes | None,
    handler: str | None,
    kind: str | None,
    attempts: int,
    problem: str | None,
    message: str | None,
) -> list[bytes]:
    """The lines of `Backlog.request` from behind the time."""
    begin = b"  INFO request{request_id=%b}: fastgw::proxy: " % request_id
    name, model = plain(answer), (model or "")[:1024]
    made = []
    if event and name and handler is not None:
        facts: dict[str, str | bytes | int] = {
            "request_id": request_id,
            "provider_request_id": name,
            "attempt_index": attempts - 1,
            "attempt_kind": kind if kind is not None else "initial",
            "handler": handler,
            "status": event,
            "requested_model": model,
        }
        if plain(version):
            facts["provider_model_version"] = plain(version)
        made.append(begin + b"provider call completed" + b"".join(field(*fact) for fact in facts.items()) + b"\n")
    if streamed and event:
        return made
    facts = {"method": method, "path": path, "status": status, "latency_ms": int(seconds * 1000)}
    known = {"provider": provider, "model": model, "api_key_id": caller}
    facts |= {key: value for key, value in known.items() if value}
    counters = {"prompt_tokens": prompt, "completion_tokens": completion}
    counters["total_tokens"] = max(total, prompt + completion)
    facts |= {key: count for key, count in counters.items() if count and not streamed}
    facts["request_id"] = request_id
    if name:
        facts["provider_request_id"] = name
    if attempts:
        facts["routing_attempt_count"] = attempts
    if problem is not None:
        facts["error_kind"] = problem
    if message is not None:
        facts["error"] = message
    made.append(begin + b"proxy request completed" + b"".join(field(*fact) for fact in facts.items()) + b"\n")
    return made
