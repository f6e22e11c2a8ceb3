"""`GET /v1/models` and `GET /v1/models/{id}`: what the caller's key may use."""

import time
from urllib.parse import unquote_to_bytes

import orjson

from fastgw.gateway.authenticate import authenticate
from fastgw.gateway.exchange import Exchange
from fastgw.gateway.resolve import unknown_model

PREFIX = len(b"/v1/models/")


async def list_models(ex: Exchange) -> None:
    """Every listed model that the key covers, sorted by id."""
    caller = await authenticate(ex)
    now = int(time.time())
    data = [entry(name, owner, now) for name, owner in ex.snapshot.listing if caller.models.allows(name)]
    ex.answer_json(200, orjson.dumps({"object": "list", "data": data}))


async def retrieve_model(ex: Exchange) -> None:
    """One model of that list; its id may contain `/`, raw or percent-encoded."""
    caller = await authenticate(ex)
    wanted = unquote_to_bytes(ex.request.path[PREFIX:]).decode("utf-8", "replace")
    for name, owner in ex.snapshot.listing:
        if name == wanted and caller.models.allows(name):
            ex.answer_json(200, orjson.dumps(entry(name, owner, int(time.time()))))
            return
    raise unknown_model(wanted)


def entry(name: str, owner: str, now: int) -> dict[str, object]:
    """One model object."""
    return {"id": name, "object": "model", "created": now, "owned_by": owner}
