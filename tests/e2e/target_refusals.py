"""Keys, models and bases of every wire family that lead nowhere, and what callers are told."""

import json
from typing import Any, NamedTuple

CHAT, TEXT, EMBED = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
MESSAGES, COUNT, RESPONSES = "/v1/messages", "/v1/messages/count_tokens", "/v1/responses"
ENTRA = {"tenant_id": "t", "client_id": "c", "client_secret": "s3cret"}
AWS = {"access_key_id": "AKID", "secret_access_key": "s3cret", "region": "us-west-2"}
GOOGLE = {"project": "p", "region": "r", "access_token": "s3cret"}
ACCOUNT = {"type": "service_account", "private_key": "-----BEGIN s3cret", "client_email": "e", "token_uri": "http://x"}


class Case(NamedTuple):
    """A provider key, the model on it, and what a call of an endpoint gets. A message is fixed up to `…` at its end."""

    adapter: str | None
    secret: Any
    paths: tuple[str, ...]
    status: int
    type: str
    message: str
    provider: str = "byo"
    base: str | None = "http://127.0.0.1:1"
    model: str = "m-1"
    vendor: str = "acme"


INVALID, UNSET = "request payload is invalid: ", "invalid upstream configuration: "
SECRET, CONFIG = "invalid upstream credentials: ", "bridge is misconfigured: "
BRIDGED = (CHAT, MESSAGES, RESPONSES)


def key(adapter: str, secret: Any, message: str, paths: tuple[str, ...] = BRIDGED, **more: Any) -> Case:
    return Case(adapter, secret, paths, 401, "authentication_error", SECRET + message, **more)


def base(adapter: str, base: str | None, message: str, secret: Any = "k", **more: Any) -> Case:
    paths = more.pop("paths", BRIDGED)
    return Case(adapter, secret, paths, 400, "invalid_request_error", UNSET + message, base=base, **more)


def config(adapter: str, secret: Any, message: str, paths: tuple[str, ...] = BRIDGED, **more: Any) -> Case:
    return Case(adapter, secret, paths, 500, "config_error", CONFIG + message, **more)


EMPTY, HEADER = "provider_key.api_key is empty", "provider_key.api_key contains invalid header characters"
AAD = "azure aad credentials."
NO_AAD = (
    "azure provider_key.api_key looks JSON-shaped but failed to parse as AAD client_credentials {tenant_id, client_id, "
    "client_secret}"
)
SLASHED = "contains URL-control characters — reject `/`, `?`, `#`, whitespace, `..`"
NO_AWS = "bedrock provider_key.api_key must be valid JSON: {access_key_id, secret_access_key, region, session_token?}"
NO_GOOGLE = (
    "vertex provider_key.api_key must be valid JSON: {project, region, and either access_token or service_account_json}"
)
MEMBER = "vertex provider_key.api_key.service_account_json"
PROJECT = {"project": "p", "region": "r"}
GEMINI = {"model": "gemini-2"}
NOVA = {"model": "amazon.nova-pro-v1:0"}
NAMED = "must match [A-Za-z0-9_-]+ (no spaces, slashes, dots, query params, or hash)"
CASES = [
    Case(
        None,
        "k",
        (CHAT, TEXT, EMBED, *BRIDGED),
        503,
        "provider_unavailable",
        "no bridge registered for provider",
    ),
    # -- credentials
    key("openai", "  ", EMPTY, (CHAT, TEXT, EMBED, MESSAGES, RESPONSES)),
    key("openai", "a\r\nb", HEADER, (CHAT, TEXT, EMBED, MESSAGES, RESPONSES)),
    key("openai", "a\x01b", HEADER),
    key("anthropic", "  ", EMPTY, (CHAT, RESPONSES)),
    key("anthropic", "a\nb", HEADER, (CHAT, RESPONSES, MESSAGES, COUNT)),
    key("azure-openai", " \t", EMPTY),
    key("azure-openai", "a\nb", HEADER),
    key("azure-openai", ' {"tenant_id": "t"}', NO_AAD),
    key("azure-openai", "{s3cret", NO_AAD),
    key("azure-openai", {**ENTRA, "tenant_id": 1}, NO_AAD),
    key("azure-openai", {**ENTRA, "authority_host": 1}, NO_AAD),
    *(key("azure-openai", {**ENTRA, name: " "}, f"{AAD}{name} is empty") for name in ENTRA),
    key("azure-openai", {**ENTRA, "tenant_id": 'a/"b'}, f'{AAD}tenant_id "a/\\"b" {SLASHED}'),
    *(
        key("azure-openai", {**ENTRA, "client_id": value}, f"{AAD}client_id {json.dumps(value)} {SLASHED}")
        for value in ("a?b", "a#b", "a b", "a\tb", "a\nb", "a..b")
    ),
    key(
        "bedrock",
        " ",
        "bedrock provider_key.api_key is empty — expected JSON {access_key_id, secret_access_key, region, "
        "session_token?}",
        **NOVA,
    ),
    key("bedrock", "AKID:s3cret", NO_AWS, **NOVA),
    key("bedrock", {**AWS, "region": None}, NO_AWS, **NOVA),
    key("bedrock", {**AWS, "session_token": 1}, NO_AWS, **NOVA),
    key(
        "vertex",
        " ",
        "vertex provider_key.api_key is empty — expected JSON with project, region, and either access_token or "
        "service_account_json",
        **GEMINI,
    ),
    key("vertex", "s3cret", NO_GOOGLE, **GEMINI),
    key("vertex", {"project": "p", "access_token": "s3cret"}, NO_GOOGLE, **GEMINI),
    key("vertex", {**PROJECT, "service_account_json": "s3cret"}, NO_GOOGLE, **GEMINI),
    key("vertex", {**PROJECT, "access_token": ""}, "vertex provider_key.api_key.access_token is empty", **GEMINI),
    key(
        "vertex",
        {**GOOGLE, "service_account_json": ACCOUNT},
        "vertex provider_key.api_key must set exactly one of access_token or service_account_json (both were provided)",
        **GEMINI,
    ),
    key(
        "vertex",
        PROJECT,
        "vertex provider_key.api_key must set either access_token or service_account_json (neither was provided)",
        **GEMINI,
    ),
    *(
        key("vertex", {**PROJECT, "service_account_json": {**ACCOUNT, name: value}}, f"{MEMBER}.{name} …", **GEMINI)
        for name, value in (("type", "user"), ("private_key", "s3cret"), ("client_email", " "), ("token_uri", ""))
    ),
    # -- the native paths have words of their own
    Case(
        "anthropic",
        " ",
        (MESSAGES, COUNT),
        400,
        "invalid_request_error",
        INVALID + 'model "MODEL" provider_key has empty api_key',
    ),
    Case(
        "openai",
        " ",
        (RESPONSES,),
        400,
        "invalid_request_error",
        INVALID + 'model "MODEL" provider_key has empty api_key',
        vendor="openai",
    ),
    config("openai", "a\nb", "api key contains invalid header chars: …", (RESPONSES,), vendor="openai"),
    Case(
        "openai",
        "k",
        (RESPONSES,),
        400,
        "invalid_request_error",
        INVALID + 'provider_key "KEY" has no api_base configured',
        base=None,
        vendor="openai",
    ),
    Case(
        "anthropic",
        "k",
        (MESSAGES, COUNT),
        400,
        "invalid_request_error",
        INVALID + 'provider_key "KEY" has no api_base configured',
        base=" ",
    ),
    Case("anthropic", "k", (MESSAGES, COUNT), 502, "transport_error", "transport error: …", base="no url"),
    Case("openai", "k", (RESPONSES,), 502, "transport_error", "transport error: …", base="no url", vendor="openai"),
    # -- bases
    base(
        "openai", None, 'provider_key for vendor "byo" has no upstream base URL configured', paths=(CHAT, TEXT, EMBED)
    ),
    base(
        "anthropic", " ", 'provider_key for vendor "byo" has no upstream base URL configured', paths=(CHAT, RESPONSES)
    ),
    base("openai", "no url", "…", paths=(CHAT, TEXT, EMBED, MESSAGES, RESPONSES)),
    base("anthropic", "ftp://h", "…", paths=(CHAT, RESPONSES)),
    base("bedrock", "no url", "…", AWS, **NOVA),
    base(
        "azure-openai",
        None,
        "azure provider_key has no api_base — expected https://<resource>.openai.azure.com, a bare resource name, or a "
        "verbatim override URL (https://<host>[:<port>])",
    ),
    base("azure-openai", "r", f'azure deployment name "a.b" contains URL-control characters — {NAMED}', model="a.b"),
    base("azure-openai", "r.x", f'azure resource name "r.x" contains URL-control characters — {NAMED}'),
    base(
        "azure-openai",
        "https://a.b.openai.azure.com/x",
        f'azure resource name "a.b" contains URL-control characters — {NAMED}',
    ),
    base(
        "azure-openai",
        "https://u@h",
        'azure api_base "https://REDACTED@h" must not embed userinfo (@); use the api-key / AAD credentials in '
        "`provider_key.api_key` instead",
    ),
    base(
        "azure-openai",
        "https://h?a=b",
        'azure api_base "https://h?a=b" must not contain a query string (the bridge appends `?api-version=…`; an '
        "operator-supplied query would either merge or override the pinned api-version)",
    ),
    base("azure-openai", "https://h#f", 'azure api_base "https://h#f" must not contain a fragment'),
    *(
        base("azure-openai", "r", "azure aad credentials.authority_host must be…", {**ENTRA, "authority_host": host})
        for host in ("login.x", "https://h/p", "https://u@h", "https://h?q", "https://h#f", "https://h\\p", "ftp://h")
    ),
    base(
        "bedrock",
        None,
        "bedrock provider_key.api_key.region is empty — AWS Bedrock dispatch is region-keyed and requires e.g. "
        '"us-west-2"',
        {**AWS, "region": " "},
        **NOVA,
    ),
    *(
        base("vertex", url, f"vertex provider_key api_base {text}", GOOGLE, **GEMINI)
        for url, text in (
            ("ftp://u@h", 'must use http:// or https:// scheme, got "ftp://…'),
            (
                "https://u:p@h?x",
                'must not embed userinfo (@); use the request\'s Authorization header instead, got "https://REDACTED@h?x"',
            ),
            (
                "https://h?x#f",
                "must not contain a query string (the bridge appends `?alt=sse` on streaming; an operator query would "
                'silently merge), got "https://h?x#f"',
            ),
            ("https://h/p#f", 'must not contain a fragment, got "https://h/p#f"'),
            (
                "https://h/p",
                'must be a bare origin (scheme://host[:port]) with no path, got "https://h/p"',
            ),
            (
                "https://h\\p",
                'must be a bare origin (scheme://host[:port]) with no path, got "https://h\\\\p"',
            ),
        )
    ),
    # -- names
    config(
        "bedrock",
        AWS,
        'bedrock model id "a b" contains unexpected characters — only [A-Za-z0-9._:/-] are allowed',
        model="a b",
    ),
    config(
        "bedrock",
        AWS,
        'bedrock publisher unknown for model id "acme.x"; expected one of anthropic.claude-* / meta.llama* / mistral.* '
        "/ amazon.titan-* / amazon.nova-* / cohere.command* / ai21.jamba-* (optionally prefixed with a cross-region "
        "inference profile like us. / eu. / apac.)",
        model="acme.x",
    ),
    config(
        "bedrock",
        AWS,
        'bedrock embeddings support amazon.titan-embed-* and cohere.embed-* model ids; got "amazon.nova-pro-v1:0"',
        (EMBED,),
        **NOVA,
    ),
    config(
        "vertex",
        GOOGLE,
        'vertex publisher unknown for upstream model id "m-1"; expected one of gemini-* / claude-* / meta/llama-* or '
        "llama* / mistral-* / jamba-*",
    ),
    *(
        config("vertex", {**GOOGLE, name: value}, f"vertex {name} {json.dumps(value)} {SLASHED}", **GEMINI)
        for name, value in (
            ("project", ""),
            ("project", "a/b"),
            ("region", "a b"),
            ("region", "a..b"),
            ("project", "#"),
        )
    ),
    config("vertex", GOOGLE, f'vertex model id "gemini-a?b" {SLASHED}', model="gemini-a?b"),
    config("vertex", GOOGLE, f'vertex model id "a/b" {SLASHED}', (EMBED,), model="a/b"),
    # -- what a family does not have
    *(
        Case(adapter, secret, (EMBED,), 501, "not_implemented", "this provider does not support embeddings", base=where)
        for adapter, secret, where in (("anthropic", "k", "http://127.0.0.1:1"), ("azure-openai", "k", "r"))
    ),
    *(
        Case(
            adapter,
            "k",
            (COUNT,),
            400,
            "invalid_request_error",
            INVALID + "model `MODEL` is not backed by an Anthropic-protocol upstream; /v1/messages/count_tokens "
            "requires a model whose provider key uses the anthropic adapter",
        )
        for adapter in ("openai", "bedrock", None)
    ),
]
