"""Where the models of Bedrock are, and who publishes them.

(https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html)
"""

import json
import re
from typing import Final, Literal
from urllib.parse import quote

from fastgw.core.errors import misconfigured
from fastgw.providers.place import UpstreamURL, parse_base

Action = Literal["invoke", "converse", "converse-stream"]

PUBLISHERS: Final = frozenset(
    {
        *("anthropic", "meta", "mistral", "amazon", "cohere", "ai21", "deepseek", "writer", "stability", "google"),
        *("nvidia", "qwen", "moonshotai", "moonshot", "minimaxai", "minimax", "zai-org", "zai", "twelvelabs", "openai"),
    }
)
EMBEDDERS: Final = ("amazon.titan-embed", "cohere.embed")

_MODEL = re.compile(r"[A-Za-z0-9._:/-]*")
_PROFILE = re.compile(r"[a-z0-9-]{2,7}")


def model_url(api_base: str | None, region: str, model: str, action: Action) -> UpstreamURL:
    """The URL of an action of a model; the id is one segment of the path. Raises the 500 for an id with other
    characters than ids have, the 400 for a base that is no URL."""
    if not _MODEL.fullmatch(model):
        shown = json.dumps(model, ensure_ascii=False)
        raise misconfigured(
            f"bedrock model id {shown} contains unexpected characters — only [A-Za-z0-9._:/-] are allowed"
        )
    base = parse_base((api_base or "").strip() or f"https://bedrock-runtime.{region}.amazonaws.com")
    return base.at(f"{base.path}/model/{quote(model, safe='')}/{action}")


def plain_id(model: str) -> str:
    """The id without the token of a cross-region inference profile (`us.`, `eu.`, ...) in front of the publisher."""
    first, dot, rest = model.partition(".")
    if dot and _PROFILE.fullmatch(first) and rest.partition(".")[0] in PUBLISHERS:
        return rest
    return model


def publisher_of(model: str) -> str:
    """The publisher of a model. Raises the 500 for an id that names none."""
    publisher = plain_id(model).partition(".")[0]
    if publisher not in PUBLISHERS:
        raise misconfigured(
            f"bedrock publisher unknown for model id {json.dumps(model, ensure_ascii=False)}; expected one of "
            "anthropic.claude-* / meta.llama* / mistral.* / amazon.titan-* / amazon.nova-* / cohere.command* / "
            "ai21.jamba-* (optionally prefixed with a cross-region inference profile like us. / eu. / apac.)"
        )
    return publisher


def embedder_of(model: str) -> str:
    """The prefix in EMBEDDERS that an id has. Raises the 500 for one that has none."""
    plain = plain_id(model)
    for prefix in EMBEDDERS:
        if plain.startswith(prefix):
            return prefix
    raise misconfigured(
        "bedrock embeddings support amazon.titan-embed-* and cohere.embed-* model ids; got "
        f"{json.dumps(model, ensure_ascii=False)}"
    )
