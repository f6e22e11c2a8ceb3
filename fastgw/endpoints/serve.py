"""From a request to the endpoint that answers it, and from every outcome to an answer."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastgw.core.errors import ClientGone, GatewayError, internal_error, render
from fastgw.endpoints import chat, completions, embeddings, health, models
from fastgw.endpoints.messages import call as messages
from fastgw.endpoints.responses import call as responses
from fastgw.gateway.account import settle
from fastgw.gateway.exchange import Exchange
from fastgw.gateway.receive import check_declared_length
from fastgw.gateway.series import UNRESOLVED
from fastgw.policy.rewrite import UrlRewriter
from fastgw.telemetry.labels import FIXED, endpoint_of

Handler = Callable[[Exchange], Coroutine[None, Any, None]]

GET: dict[bytes, Handler] = {
    b"/livez": health.livez,
    b"/readyz": health.readyz,
    b"/v1/models": models.list_models,
}
POST: dict[bytes, Handler] = {
    b"/v1/chat/completions": chat.chat_completions,
    b"/v1/completions": completions.text_completions,
    b"/v1/embeddings": embeddings.embeddings,
    b"/v1/messages": messages.messages,
    b"/v1/messages/count_tokens": messages.count_tokens,
    b"/v1/responses": responses.responses,
}
ENDPOINTS = {path.encode(): path for path in FIXED}
MODEL_PREFIX = b"/v1/models/"

REMOVED_TUNNEL = (
    "the implicit /passthrough/:provider tunnel has been removed; configure an explicit passthrough_route resource "
    "for this path (see the provider passthrough documentation for the migration)"
)


async def serve(ex: Exchange) -> None:
    """Answer one exchange. Nothing escapes: every outcome ends in an answer, a cut connection, or a lost caller."""
    try:
        try:
            if ex.gateway.rewriter is not None:
                rewrite(ex, ex.gateway.rewriter)
            handler = route(ex)
            ex.under_way = under_way = ex.gateway.accounts.in_flight[ex.endpoint]
            under_way(1)
            if ex.gateway.body_limit:
                await check_declared_length(ex)
            await handler(ex)
        except ClientGone:
            ex.status = 200 if ex.head_sent else 499
        except GatewayError as error:
            refuse(ex, error)
        except Exception as error:
            ex.gateway.log.defect("request failed", error, ex.request_id)
            refuse(ex, internal_error())
        if not ex.settled:
            settle(ex)
    except Exception as error:
        # Answering or counting itself failed. The request is over all the same and must not hold up a shutdown.
        ex.gateway.log.defect("answer failed", error, ex.request_id)
        ex.downstream.cut()
    ex.gateway.in_flight(-1)
    if not ex.gone:
        ex.downstream.done()


def rewrite(ex: Exchange, rewriter: UrlRewriter) -> None:
    """Aim the request at another path when a rule says so. From here on nothing tells it from a direct one."""
    path = ex.request.path.decode("latin-1")
    rewritten = rewriter.apply(path)
    if rewritten is None:
        return
    if rewritten.path is None:
        ex.gateway.log.warn(
            "fastgw::proxy", "url rewrite yields no valid path", rule=rewritten.rule, request_id=ex.request_id.decode()
        )
        return
    ex.request.rewritten(rewritten.path.encode())


def route(ex: Exchange) -> Handler:
    """The handler for method and path; 404, 405 and 410 have handlers of their own."""
    request = ex.request
    path, method = request.path, request.method
    if method == b"POST":
        handler = POST.get(path)
        if handler is not None:
            ex.endpoint = ENDPOINTS.get(path) or endpoint_of(path)
            return handler
    elif method == b"GET" or method == b"HEAD":
        handler = GET.get(path)
        if handler is not None:
            ex.endpoint = ENDPOINTS.get(path) or endpoint_of(path)
            return handler
        if names_model(path):
            ex.endpoint = "/v1/models/:id"
            return models.retrieve_model
    ex.endpoint = endpoint_of(path)
    if path in GET or names_model(path):
        return wrong_method_get
    if path in POST:
        return wrong_method_post
    if path.startswith(b"/passthrough/"):
        return removed_tunnel
    return not_found


def names_model(path: bytes) -> bool:
    """`/v1/models/` with something behind it."""
    return path.startswith(MODEL_PREFIX) and path != MODEL_PREFIX


def refuse(ex: Exchange, error: GatewayError) -> None:
    """Answer with an error, or cut a stream that has already begun."""
    # The traceback leads back to the exchange: without it the pair is freed at once, not by the collector.
    ex.error = error.with_traceback(None)
    if ex.gone:
        return
    if ex.head_sent:
        ex.downstream.cut()
        return
    fields = b"retry-after: %d\r\n" % error.retry_after if error.retry_after is not None else b""
    ex.answer_json(error.status, render(error, ex.dialect), fields)


async def not_found(ex: Exchange) -> None:
    """404 with an empty body."""
    ex.answer_empty(404)


async def wrong_method_get(ex: Exchange) -> None:
    """405 on a path that is there for reading."""
    ex.answer_empty(405, b"allow: GET,HEAD\r\n")


async def wrong_method_post(ex: Exchange) -> None:
    """405 on a path that takes calls."""
    ex.answer_empty(405, b"allow: POST\r\n")


async def removed_tunnel(ex: Exchange) -> None:
    """410 for paths under /passthrough/ that no route serves."""
    ex.counted = True
    ex.refused_as = UNRESOLVED
    raise GatewayError(410, "invalid_request_error", REMOVED_TUNNEL, code="endpoint_removed")
