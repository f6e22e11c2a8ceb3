"""Where the deployments of an Azure OpenAI resource are."""

import json
import re
from dataclasses import replace
from typing import Final

from fastgw.core.errors import GatewayError, invalid_upstream
from fastgw.providers.place import UpstreamURL, parse_base

API_VERSION: Final = "2024-10-21"
VERSION_FIELD: Final = "api-version"
"""The default body field of a provider key that names another version; it goes into the query."""

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_VERSION = re.compile(r"[A-Za-z0-9.-]+")
_RESOURCE = re.compile(r"https://(?P<name>[^/?#]*)\.openai\.azure\.com(?P<path>/[^?#]*)?(?:[?#].*)?", re.I)
_V1: Final = "/openai/v1"


def deployment_url(api_base: str | None, deployment: str, operation: str, version: str) -> UpstreamURL:
    """The URL of an operation (`chat/completions`, ...) of a deployment.

    `api_base` is the address of a resource, its bare name, or any other http(s) URL, which is used as it stands. One
    that ends in `/openai/v1` is the version-less API, where the deployment is named in the body alone. Raises the 400
    `invalid upstream configuration`.
    """
    root, current = resource_root(api_base)
    base = parse_base(root)
    if current:
        return base.at(f"{base.path}/{operation}")
    if not deployment:
        raise invalid_upstream("azure deployment name is empty (expected an identifier matching [A-Za-z0-9_-]+)")
    check_name("deployment name", deployment)
    if not _VERSION.fullmatch(version):
        raise invalid_upstream("azure api-version must match [A-Za-z0-9.-]+")
    base = replace(base, query=f"?{VERSION_FIELD}={version}")
    return base.at(f"{base.path}/openai/deployments/{deployment}/{operation}")


def resource_root(api_base: str | None) -> tuple[str, bool]:
    """The root URL without trailing slashes, and whether it is that of the version-less API."""
    text = (api_base or "").strip().rstrip("/")
    if not text:
        raise invalid_upstream(
            "azure provider_key has no api_base — expected https://<resource>.openai.azure.com, a bare resource name, "
            "or a verbatim override URL (https://<host>[:<port>])"
        )
    resource = _RESOURCE.fullmatch(text)
    if resource is not None:
        check_name("resource name", resource["name"])
        root = f"https://{resource['name']}.openai.azure.com"
        current = (resource["path"] or "").rstrip("/") == _V1
        return (root + _V1 if current else root), current
    if not text.lower().startswith(("http://", "https://")):
        check_name("resource name", text)
        return f"https://{text}.openai.azure.com", False
    check_verbatim(text)
    return text, text.endswith(_V1)


def check_name(what: str, name: str) -> None:
    """Raises the 400 for a name that could change the URL around it."""
    if not _NAME.fullmatch(name):
        shown = json.dumps(name, ensure_ascii=False)
        raise invalid_upstream(
            f"azure {what} {shown} contains URL-control characters — must match [A-Za-z0-9_-]+ (no spaces, slashes, "
            "dots, query params, or hash)"
        )


def check_verbatim(url: str) -> None:
    """Raises the 400 for an override URL with parts that would be lost or merged."""
    shown = json.dumps(re.sub(r"//[^/]*@", "//REDACTED@", url), ensure_ascii=False)
    flaw: GatewayError | None = None
    if "@" in url:
        flaw = invalid_upstream(
            f"azure api_base {shown} must not embed userinfo (@); use the api-key / AAD credentials in "
            "`provider_key.api_key` instead"
        )
    elif "?" in url:
        flaw = invalid_upstream(
            f"azure api_base {shown} must not contain a query string (the bridge appends `?api-version=…`; an "
            "operator-supplied query would either merge or override the pinned api-version)"
        )
    elif "#" in url:
        flaw = invalid_upstream(f"azure api_base {shown} must not contain a fragment")
    if flaw is not None:
        raise flaw
