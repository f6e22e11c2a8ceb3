"""Embeddings of upstreams with protocols of their own, as the OpenAI API answers them."""

from collections.abc import Iterable

import orjson

from fastgw.core.errors import decode_error
from fastgw.providers.canonical import Completion, Usage


def rendered(model: str, vectors: Iterable[bytes], tokens: int) -> tuple[bytes, Completion]:
    """The answer and what it used. `vectors` are JSON arrays as the upstream wrote them, so that every number keeps its
    digits; in the order of the texts. Raises a decode error for anything else."""
    items: list[bytes] = []
    for index, vector in enumerate(vectors):
        if not vector.startswith(b"["):
            raise decode_error(f"embedding {index} is no array")
        items.append(b'{"index":%d,"object":"embedding","embedding":%b}' % (index, vector))
    body = b'{"object":"list","model":%b,"data":[%b],"usage":{"prompt_tokens":%d,"total_tokens":%d}}' % (
        orjson.dumps(model),
        b",".join(items),
        tokens,
        tokens,
    )
    return body, Completion("", model, usage=Usage(prompt_tokens=tokens, total_tokens=tokens))
