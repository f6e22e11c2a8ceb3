"""What the caller asked for, and whether it may have it."""

from fastgw.core.errors import GatewayError
from fastgw.gateway.authenticate import client_address
from fastgw.gateway.exchange import Exchange
from fastgw.gateway.snapshot import MAX_REMEMBERED, Target
from fastgw.resources.report import quoted


def resolve(ex: Exchange, name: str) -> Target:
    """The target for a requested model name, left in `ex.target`. Raises 404 or 403, in that order of checks."""
    caller = ex.caller
    assert caller is not None
    ex.alias = name
    target = ex.snapshot.models.get(name) or ex.snapshot.model(name)
    if target is None:
        raise unknown_model(name)
    if name not in caller.granted:
        if not caller.models.allows(name):
            raise GatewayError(
                403,
                "permission_denied",
                f"API key is not allowed to use model {quoted(name)}",
                fault="policy",
                param="model",
            )
        if target.row is None:
            if len(caller.granted) >= MAX_REMEMBERED:
                caller.granted.clear()
            caller.granted.add(name)
    if target.networks is not None and not target.networks.contains(client_address(ex)):
        raise GatewayError(
            403,
            "permission_denied",
            "Access denied: your client IP is not allowed to access this model",
            fault="policy",
            code="ip_restricted",
        )
    ex.target = target
    return target


def unknown_model(name: str) -> GatewayError:
    """404 for a name that nothing serves."""
    message = f"model {quoted(name)} not found"
    return GatewayError(404, "model_not_found", message, param="model", code="model_not_found")
