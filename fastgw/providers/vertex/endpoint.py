"""Where the models of a Google Cloud project are."""

import json
import re
from dataclasses import replace
from typing import Final, Literal

from fastgw.core.errors import invalid_upstream, misconfigured
from fastgw.providers.place import UpstreamURL, parse_base

Publisher = Literal["google", "anthropic", "openapi", "mistralai", "ai21"]
"""`openapi`: the endpoint that speaks OpenAI's protocol for models of many publishers."""

_PREFIXES: Final[tuple[tuple[str, Publisher], ...]] = (
    ("gemini-", "google"),
    ("claude-", "anthropic"),
    ("mistral-", "mistralai"),
    ("codestral-", "mistralai"),
    ("jamba-", "ai21"),
    *(
        (prefix, "openapi")
        for prefix in ("meta/", "llama", "deepseek", "qwen", "openai/gpt-oss", "minimaxai/", "moonshotai/", "zai-org/")
    ),
)
_OPERATIONS: Final[dict[str, tuple[str, str]]] = {
    "google": ("generateContent", "streamGenerateContent?alt=sse"),
    "anthropic": ("rawPredict", "streamRawPredict"),
    "mistralai": ("rawPredict", "streamRawPredict"),
    "ai21": ("rawPredict", "streamRawPredict"),
}
EVERYWHERE: Final = "global"
_CONTROLS = re.compile(r"[/?# \t\n]|\.\.")
_USERINFO = re.compile(r"//[^/@]*@")


def publisher_of(model: str) -> Publisher:
    """Whose protocol a model speaks, by its id. Raises the 500 for an id that says nothing."""
    lowered = model.lower()
    for prefix, publisher in _PREFIXES:
        if lowered.startswith(prefix):
            return publisher
    raise misconfigured(
        f"vertex publisher unknown for upstream model id {json.dumps(model, ensure_ascii=False)}; expected one of "
        "gemini-* / claude-* / meta/llama-* or llama* / mistral-* / jamba-*"
    )


class Project:
    """A project in a region. Raises the 400 for a base that is no bare origin, the 500 for names that could change the
    URL around them."""

    def __init__(self, api_base: str | None, project: str, region: str) -> None:
        # Where Google places a request itself there is no region in the name of the host
        # (https://cloud.google.com/vertex-ai/generative-ai/docs/learn/locations).
        prefix = "" if region == EVERYWHERE else f"{checked('region', region)}-"
        self._base = parse_base(origin(api_base) or f"https://{prefix}aiplatform.googleapis.com")
        self._path = f"/v1/projects/{checked('project', project)}/locations/{checked('region', region)}"

    def chat(self, publisher: Publisher, model: str, *, stream: bool) -> UpstreamURL:
        """Where chat requests for a model go."""
        if publisher == "openapi":
            return self._base.at(f"{self._path}/endpoints/openapi/chat/completions")
        return self._at(publisher, model, _OPERATIONS[publisher][stream])

    def embeddings(self, model: str) -> UpstreamURL:
        """Where texts are embedded."""
        return self._at("google", model, "predict")

    def _at(self, publisher: str, model: str, operation: str) -> UpstreamURL:
        verb, _, query = operation.partition("?")
        # A wildcard takes names from callers: what they have encoded is a part of the name and stays one.
        name = checked("model id", model).replace("%", "%25")
        path = f"{self._path}/publishers/{publisher}/models/{name}:{verb}"
        return replace(self._base, query=f"?{query}" if query else "").at(path)


def checked(what: str, value: str) -> str:
    """The value. Raises the 500 for one that could change the URL around it."""
    if not value.strip() or _CONTROLS.search(value):
        raise misconfigured(
            f"vertex {what} {json.dumps(value, ensure_ascii=False)} contains URL-control characters — reject `/`, `?`, "
            "`#`, whitespace, `..`"
        )
    return value


def origin(api_base: str | None) -> str | None:
    """The bare origin that replaces Google's, if any. Raises the 400 that says what is wrong with it."""
    text = (api_base or "").strip()
    if not text:
        return None
    shown = json.dumps(text, ensure_ascii=False)
    if not text.lower().startswith(("http://", "https://")):
        flaw = f"must use http:// or https:// scheme, got {shown}"
    elif "@" in text:
        shown = json.dumps(_USERINFO.sub("//REDACTED@", text), ensure_ascii=False)
        flaw = f"must not embed userinfo (@); use the request's Authorization header instead, got {shown}"
    elif "?" in text:
        flaw = (
            "must not contain a query string (the bridge appends `?alt=sse` on streaming; an operator query would "
            f"silently merge), got {shown}"
        )
    elif "#" in text:
        flaw = f"must not contain a fragment, got {shown}"
    elif "/" in text.rstrip("/").partition("://")[2] or "\\" in text:
        flaw = f"must be a bare origin (scheme://host[:port]) with no path, got {shown}"
    else:
        return text.rstrip("/")
    raise invalid_upstream(f"vertex provider_key api_base {flaw}")
