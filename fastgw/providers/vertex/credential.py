"""Credentials of a Google Cloud project: a token, or a service account that gets tokens."""

from typing import Any, Final, NamedTuple

import orjson

from fastgw.core.errors import invalid_credentials
from fastgw.core.grants import ServiceAccount
from fastgw.providers.place import check_secret

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_SHAPE: Final = "with project, region, and either access_token or service_account_json"


class Credential(NamedTuple):
    """Exactly one of `token` and `grant` is there."""

    project: str
    region: str
    token: str | None
    grant: ServiceAccount | None


def credential(secret: str) -> Credential:
    """Read a provider key's secret. Raises the 401 `invalid upstream credentials`, which repeats nothing of it."""
    if not secret.strip():
        raise invalid_credentials(f"vertex provider_key.api_key is empty — expected JSON {_SHAPE}")
    try:
        found = orjson.loads(secret)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in ("project", "region")):
        raise _no_json()
    token, account = found.get("access_token"), found.get("service_account_json")
    if not isinstance(token, str | None) or not isinstance(account, dict | None):
        raise _no_json()
    if token is not None and account is not None:
        raise invalid_credentials(
            "vertex provider_key.api_key must set exactly one of access_token or service_account_json (both were "
            "provided)"
        )
    if account is not None:
        return Credential(found["project"], found["region"], None, grant_of(account))
    if token is None:
        raise invalid_credentials(
            "vertex provider_key.api_key must set either access_token or service_account_json (neither was provided)"
        )
    if not token.strip():
        raise invalid_credentials("vertex provider_key.api_key.access_token is empty")
    check_secret(token)
    return Credential(found["project"], found["region"], token, None)


def grant_of(account: dict[str, Any]) -> ServiceAccount:
    """The grant of a service account's key file. Raises the 401 that names what is wrong with it."""
    for name in ("type", "private_key", "client_email", "token_uri"):
        if not isinstance(account.get(name), str) or not account[name].strip():
            raise invalid_credentials(f"vertex provider_key.api_key.service_account_json.{name} is missing or empty")
    if account["type"] != "service_account":
        raise invalid_credentials("vertex provider_key.api_key.service_account_json.type must be service_account")
    if not account["private_key"].startswith("-----BEGIN"):
        raise invalid_credentials(
            "vertex provider_key.api_key.service_account_json.private_key must be a PEM private key"
        )
    return ServiceAccount(account["token_uri"], account["client_email"], account["private_key"], SCOPE)


def _no_json() -> Exception:
    return invalid_credentials(
        "vertex provider_key.api_key must be valid JSON: {project, region, and either access_token or "
        "service_account_json}"
    )
