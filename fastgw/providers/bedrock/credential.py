"""Credentials of AWS: an access key, which signs, or an API key of Bedrock, which is sent. Both name their region.

Nothing else is ever used: no environment, no profiles, no instance metadata.
"""

import re
from typing import Final

import msgspec

from fastgw.core.errors import invalid_credentials, invalid_upstream
from fastgw.providers.place import check_secret

_SHAPE: Final = "{access_key_id, secret_access_key, region, session_token?}"
_REGION = re.compile(r"[A-Za-z0-9-]+")


class AccessKey(msgspec.Struct, frozen=True):
    """Signs requests. With a session token it is temporary."""

    access_key_id: str
    secret_access_key: str
    region: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return "<AccessKey>"


class ApiKey(msgspec.Struct, frozen=True):
    """A bearer token."""

    api_key: str
    region: str

    def __repr__(self) -> str:
        return "<ApiKey>"


def credential(secret: str) -> AccessKey | ApiKey:
    """Read a provider key's secret. Raises the 401 `invalid upstream credentials`, or the 400 for its region; neither
    repeats any of it."""
    if not secret.strip():
        raise invalid_credentials(f"bedrock provider_key.api_key is empty — expected JSON {_SHAPE}")
    found = _read(secret)
    if found is None:
        raise _no_json()
    if not found.region.strip():
        raise invalid_upstream(
            "bedrock provider_key.api_key.region is empty — AWS Bedrock dispatch is region-keyed and requires e.g. "
            '"us-west-2"'
        )
    region = found.region.strip()
    if not _REGION.fullmatch(region):
        raise invalid_upstream("bedrock provider_key.api_key.region must match [A-Za-z0-9-]+")
    if isinstance(found, ApiKey):
        check_secret(found.api_key)
    else:
        if not found.access_key_id.strip() or not found.secret_access_key.strip():
            raise _no_json()
        check_secret(found.access_key_id)
        if found.session_token:
            check_secret(found.session_token)
    return msgspec.structs.replace(found, region=region)


def _read(secret: str) -> AccessKey | ApiKey | None:
    kinds: tuple[type[AccessKey] | type[ApiKey], ...] = (AccessKey, ApiKey)
    for kind in kinds:
        try:
            return msgspec.json.decode(secret, type=kind)
        except (msgspec.DecodeError, UnicodeError):
            continue
    return None


def _no_json() -> Exception:
    return invalid_credentials(f"bedrock provider_key.api_key must be valid JSON: {_SHAPE}")
