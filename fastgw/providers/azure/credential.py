"""Credentials of an Azure resource: a resource key, or an application of Entra ID that gets tokens.

An application proves itself by a secret, or by a token of the platform it runs on, in a file: workload identity
(https://learn.microsoft.com/entra/workload-id/workload-identity-federation).
"""

import re
from typing import Final

import orjson

from fastgw.core.errors import invalid_credentials, invalid_upstream
from fastgw.core.grants import ClientAssertion, ClientCredentials
from fastgw.providers.place import check_secret

AUTHORITY: Final = "https://login.microsoftonline.com"
SCOPE: Final = "https://cognitiveservices.azure.com/.default"

_PROOFS: Final = ("client_secret", "federated_token_file")
_AUTHORITY = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[0-9]{1,5})?/?", re.I)
_CONTROLS = re.compile(r"[/?# \t\n]|\.\.")


def credential(secret: str) -> str | ClientCredentials | ClientAssertion:
    """The resource key itself, or the grant that a JSON object describes.

    Raises the 401 `invalid upstream credentials`, or the 400 for an authority that is no bare origin.
    """
    if not secret.lstrip().startswith("{"):
        check_secret(secret)
        return secret
    found = _members(secret)
    for name, value in found.items():
        if not value.strip():
            raise invalid_credentials(f"azure aad credentials.{name} is empty")
    for name in ("tenant_id", "client_id"):
        if _CONTROLS.search(found[name]):
            shown = orjson.dumps(found[name]).decode()
            raise invalid_credentials(
                f"azure aad credentials.{name} {shown} contains URL-control characters — reject `/`, `?`, `#`, "
                "whitespace, `..`"
            )
    url = f"{authority(found.get('authority_host'))}/{found['tenant_id']}/oauth2/v2.0/token"
    if "federated_token_file" in found:
        return ClientAssertion(url, found["client_id"], found["federated_token_file"], SCOPE)
    return ClientCredentials(url, found["client_id"], found["client_secret"], SCOPE)


def _members(secret: str) -> dict[str, str]:
    """The known members of the JSON object; all of those that are needed, and exactly one kind of proof."""
    try:
        document = orjson.loads(secret)
    except ValueError:
        document = None
    found = {}
    if isinstance(document, dict):
        names = ("tenant_id", "client_id", *_PROOFS, "authority_host")
        found = {name: document[name] for name in names if document.get(name) is not None}
    proofs = [name for name in _PROOFS if name in found]
    if not proofs or not {"tenant_id", "client_id"} <= found.keys() or not all(map(_is_text, found.values())):
        raise invalid_credentials(
            "azure provider_key.api_key looks JSON-shaped but failed to parse as AAD client_credentials "
            "{tenant_id, client_id, client_secret}"
        )
    if len(proofs) > 1:
        raise invalid_credentials(f"azure aad credentials must set exactly one of {' or '.join(_PROOFS)}")
    return found


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def authority(host: str | None) -> str:
    """The origin that grants tokens. Raises the 400 for a value that is no bare http(s) origin."""
    if host is None:
        return AUTHORITY
    if not _AUTHORITY.fullmatch(host):
        raise invalid_upstream("azure aad credentials.authority_host must be http(s)://host[:port] and nothing else")
    return host.rstrip("/")
