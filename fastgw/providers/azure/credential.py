"""Credentials of an Azure resource: a resource key, or an application of Entra ID that gets tokens."""

import re
from typing import Final

import orjson

from fastgw.core.errors import invalid_credentials, invalid_upstream
from fastgw.core.grants import ClientCredentials
from fastgw.providers.place import check_secret

AUTHORITY: Final = "https://login.microsoftonline.com"
SCOPE: Final = "https://cognitiveservices.azure.com/.default"

_MEMBERS: Final = ("tenant_id", "client_id", "client_secret")
_AUTHORITY = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[0-9]{1,5})?/?", re.I)
_CONTROLS = re.compile(r"[/?# \t\n]|\.\.")


def credential(secret: str) -> str | ClientCredentials:
    """The resource key itself, or the grant that a JSON object describes.

    Raises the 401 `invalid upstream credentials`, or the 400 for an authority that is no bare origin.
    """
    if not secret.lstrip().startswith("{"):
        check_secret(secret)
        return secret
    try:
        document = orjson.loads(secret)
    except ValueError:
        document = None
    if not isinstance(document, dict) or not all(isinstance(document.get(name), str) for name in _MEMBERS):
        raise invalid_credentials(
            "azure provider_key.api_key looks JSON-shaped but failed to parse as AAD client_credentials "
            "{tenant_id, client_id, client_secret}"
        )
    for name in _MEMBERS:
        if not document[name].strip():
            raise invalid_credentials(f"azure aad credentials.{name} is empty")
    for name in ("tenant_id", "client_id"):
        if _CONTROLS.search(document[name]):
            shown = orjson.dumps(document[name]).decode()
            raise invalid_credentials(
                f"azure aad credentials.{name} {shown} contains URL-control characters — reject `/`, `?`, `#`, "
                "whitespace, `..`"
            )
    return ClientCredentials(
        f"{authority(document.get('authority_host'))}/{document['tenant_id']}/oauth2/v2.0/token",
        document["client_id"],
        document["client_secret"],
        SCOPE,
    )


def authority(host: object) -> str:
    """The origin that grants tokens. Raises the 400 for a value that is no bare http(s) origin."""
    if host is None:
        return AUTHORITY
    if not isinstance(host, str) or not _AUTHORITY.fullmatch(host):
        raise invalid_upstream("azure aad credentials.authority_host must be http(s)://host[:port] and nothing else")
    return host.rstrip("/")
