"""Embeddings of upstreams with protocols of their own, as the OpenAI API answers them."""

from collections.abc import Iterable
from typing import TypeVar

import msgspec
import orjson

from fastgw.core.errors import decode_error
from fastgw.providers.canonical import Completion, Usage

T = TypeVar("T")


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """What a decoder reads in an answer. Raises a decode error, also for one that is too deep."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise decode_error(str(error)) from None
    except RecursionError:
        raise decode_error("the document is too deep") from None


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
    return body, Completion("", model, finish="", usage=Usage(prompt_tokens=tokens, total_tokens=tokens))
