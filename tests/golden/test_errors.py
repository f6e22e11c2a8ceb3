"""Every error status of every kind of upstream, for callers of every dialect.

A row is what a provider sends with a status, and which `code` and `param` callers of OpenAI's APIs get. Their message
is the provider's own from OpenAI and Anthropic, and a fixed one from clouds, whose messages name accounts.
"""

from typing import Any, NamedTuple

import pytest

from tests.golden.harness import COLUMNS, VARIANTS, Case

Row = tuple[int, Any, str | None, str | None]


def openai(kind: str, code: str | None = None, param: str | None = None, message: str = "Said so.") -> dict[str, Any]:
    """An error of OpenAI's API."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def azure(code: str, **more: Any) -> dict[str, Any]:
    """An error of Azure."""
    return {"error": {"code": code, "message": "dep-1 of my-account said so.", **more}}


def anthropic(kind: str) -> dict[str, Any]:
    """An error of the Messages API."""
    return {"type": "error", "error": {"type": kind, "message": "Said so."}, "request_id": "req_1"}


def bedrock(name: str) -> dict[str, Any]:
    """An exception of AWS."""
    return {"__type": f"com.amazon.coral#{name}:http://x", "message": "arn:aws:1 said so."}


def google(status: str, code: int) -> dict[str, Any]:
    """An error of Google's APIs."""
    return {"error": {"code": code, "message": "projects/p said so.", "status": status, "details": []}}


COUNTRY = "unsupported_country_region_territory"
POLICY = "content_policy_violation"
HTML = "<html><body>Bad gateway</body></html>"

TABLE: dict[str, list[Row]] = {
    "openai": [
        (400, openai("invalid_request_error", "unsupported_value", "temperature"), "unsupported_value", "temperature"),
        (401, openai("invalid_request_error", "invalid_api_key"), "invalid_api_key", None),
        (403, openai("request_forbidden", COUNTRY), COUNTRY, None),
        (404, openai("invalid_request_error", "model_not_found"), "model_not_found", None),
        (408, openai("timeout"), None, None),
        (409, openai("conflict"), None, None),
        (413, openai("invalid_request_error", "request_too_large"), "request_too_large", None),
        (422, openai("invalid_request_error", None, "messages[0]"), None, "messages[0]"),
        (424, openai("failed_dependency"), None, None),
        (429, openai("insufficient_quota", "insufficient_quota"), "insufficient_quota", None),
        (500, openai("server_error"), None, None),
        (502, HTML, None, None),
        (503, openai("server_error", "overloaded"), None, None),
        (504, HTML, None, None),
        (529, openai("overloaded"), None, None),
    ],
    "azure-openai": [
        (400, azure("content_filter", innererror={"code": "ResponsibleAIPolicyViolation"}), POLICY, None),
        (401, azure("401"), "401", None),
        (403, azure("PermissionDenied"), "PermissionDenied", None),
        (404, azure("DeploymentNotFound"), "model_not_found", None),
        (408, azure("Timeout"), "Timeout", None),
        (409, azure("Conflict"), "Conflict", None),
        (413, azure("RequestEntityTooLarge"), "RequestEntityTooLarge", None),
        (422, azure("Unprocessable", param="messages"), "Unprocessable", "messages"),
        (424, azure("FailedDependency"), "FailedDependency", None),
        (429, azure("429"), "429", None),
        (500, azure("InternalServerError"), None, None),
        (502, HTML, None, None),
        (503, azure("ServiceUnavailable"), None, None),
        (504, HTML, None, None),
        (529, azure("Overloaded"), None, None),
    ],
    "anthropic": [
        (400, anthropic("invalid_request_error"), None, None),
        (401, anthropic("authentication_error"), "invalid_api_key", None),
        (403, anthropic("permission_error"), "permission_denied", None),
        (404, anthropic("not_found_error"), "model_not_found", None),
        (408, anthropic("timeout_error"), None, None),
        (409, anthropic("conflict_error"), None, None),
        (413, anthropic("request_too_large"), "request_too_large", None),
        (422, anthropic("invalid_request_error"), None, None),
        (424, anthropic("api_error"), None, None),
        (429, anthropic("rate_limit_error"), "rate_limit_exceeded", None),
        (500, anthropic("api_error"), None, None),
        (502, HTML, None, None),
        (503, anthropic("api_error"), None, None),
        (504, anthropic("timeout_error"), None, None),
        (529, anthropic("overloaded_error"), None, None),
    ],
    "bedrock": [
        (400, bedrock("ValidationException"), None, None),
        (401, bedrock("UnrecognizedClientException"), None, None),
        (403, bedrock("AccessDeniedException"), "permission_denied", None),
        (404, bedrock("ResourceNotFoundException"), "model_not_found", None),
        (408, bedrock("ModelTimeoutException"), "timeout", None),
        (409, bedrock("ConflictException"), None, None),
        (413, bedrock("RequestEntityTooLargeException"), None, None),
        (422, bedrock("ValidationException"), None, None),
        (424, bedrock("ModelErrorException"), "model_error", None),
        (424, bedrock("ModelStreamErrorException"), "stream_error", None),
        (429, bedrock("ThrottlingException"), "rate_limit_exceeded", None),
        (429, bedrock("ModelNotReadyException"), "model_not_ready", None),
        (400, bedrock("ServiceQuotaExceededException"), "insufficient_quota", None),
        (500, bedrock("InternalServerException"), None, None),
        (502, HTML, None, None),
        (503, bedrock("ServiceUnavailableException"), None, None),
        (504, HTML, None, None),
        (529, bedrock("Overloaded"), None, None),
    ],
    "vertex": [
        (400, google("INVALID_ARGUMENT", 400), None, None),
        (401, google("UNAUTHENTICATED", 401), "invalid_api_key", None),
        (403, google("PERMISSION_DENIED", 403), "permission_denied", None),
        (404, google("NOT_FOUND", 404), "model_not_found", None),
        (408, google("DEADLINE_EXCEEDED", 408), "timeout", None),
        (409, google("ABORTED", 409), None, None),
        (413, HTML, None, None),
        (422, google("FAILED_PRECONDITION", 422), None, None),
        (424, google("FAILED_PRECONDITION", 424), None, None),
        (429, google("RESOURCE_EXHAUSTED", 429), "rate_limit_exceeded", None),
        (500, google("INTERNAL", 500), None, None),
        (502, HTML, None, None),
        (503, google("UNAVAILABLE", 503), None, None),
        (504, google("DEADLINE_EXCEEDED", 504), None, None),
        (529, HTML, None, None),
    ],
}
STATUSES = (400, 401, 403, 404, 408, 409, 413, 422, 424, 429, 500, 502, 503, 504, 529)
ANTHROPIC = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
}
"""Types of the Messages API by status; all others are `api_error`."""
FIXED = {401: "authentication failed", 403: "authentication failed", 408: "request timeout", 429: "rate limited"}
NOT_FOUND = {
    "azure-openai": "deployment or model not found",
    "bedrock": "model not found",
    "vertex": "model or endpoint not found",
}
AZURE = {409: "conflict", 413: "request entity too large"}


class Cell(NamedTuple):
    """One row for one dialect and kind of upstream."""

    column: str
    row: Row

    def __str__(self) -> str:
        return f"{self.row[0]}.{self.column}"


CELLS = [Cell(column, row) for column in COLUMNS for row in TABLE[column.split(".")[1].partition("+")[0]]]


def message_for(family: str, status: int, body: Any) -> str:
    """What callers read."""
    if status >= 500:
        return f"upstream returned {status}"
    if family in ("openai", "anthropic"):
        said: str = body["error"]["message"]
        return said
    words = {**FIXED, 404: NOT_FOUND[family], **(AZURE if family == "azure-openai" else {})}
    return f"upstream {words[status]}" if status in words else f"upstream returned {status}"


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_errors(cell: Cell) -> None:
    status, body, code, param = cell.row
    dialect, kind = cell.column.split(".")
    fixture = {**VARIANTS.get(kind, {}), "request": {"model": "alias", "messages": [{"role": "user", "content": "x"}]}}
    case = Case(f"error.{cell.column}", {**fixture, "status": status, "error": body})
    told, reply = case.error()
    assert told == (status if status < 500 else 502)
    if status < 500 and case.endpoint().native:
        assert reply == body
        return
    message = message_for(case.family, status, body)
    assert "arn:" not in message
    assert "projects/" not in message
    if dialect == "messages":
        expected: dict[str, Any] = {"type": "error", "error": {"type": ANTHROPIC.get(told, "api_error")}}
        expected["error"]["message"] = message
    else:
        expected = {"error": {"message": message, "type": "upstream_error"}}
        expected["error"] |= {name: value for name, value in (("code", code), ("param", param)) if value is not None}
    assert reply == expected


def test_the_table_is_complete() -> None:
    assert {column.split(".")[1].partition("+")[0] for column in COLUMNS} == set(TABLE)
    for family, rows in TABLE.items():
        assert {status for status, *_ in rows} == set(STATUSES), family
