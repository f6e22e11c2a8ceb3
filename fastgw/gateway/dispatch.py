"""Attempts: from a resolved call to an answer that has been relayed, or the error of the last attempt."""

import random
from functools import partial
from time import monotonic, time
from typing import cast

from fastgw._speedups.head import AnswerReader
from fastgw.core.errors import GatewayError, transport_error
from fastgw.core.fiber import park
from fastgw.gateway.account import attempt_failed
from fastgw.gateway.aside import outgoing
from fastgw.gateway.call import Call
from fastgw.gateway.coding import unpack, unpack_start
from fastgw.gateway.estimates import lacking
from fastgw.gateway.exchange import Exchange
from fastgw.gateway.grants import bearer
from fastgw.gateway.redirect import CHANGED_TO_GET, MAX_REDIRECTS, arrived, moved
from fastgw.gateway.relay import call_id, read_answer, relay_stream, release
from fastgw.gateway.snapshot import Operation, Target
from fastgw.policy.retry import backoff, may_retry, retry_budget
from fastgw.providers.adapter import Series
from fastgw.providers.failures import BODY_LIMIT, answer_failure
from fastgw.upstream.connection import MAX_BODY, UpstreamConnection

JOIN_LIMIT = 65536
"""Bodies up to this size are joined with the head into one write."""


async def dispatch(ex: Exchange, call: Call, target: Target) -> None:
    """Try the target until an answer was relayed or the retries are spent. Raises the last failure.

    Once the head of the answer is out nothing is retried: the relay ends the stream with the error itself.
    """
    operation = target.operations.get(call.operation)
    fresh = False
    while True:
        ex.attempts += 1
        ex.dispatched = monotonic()
        try:
            if operation is None:
                raise target.flaws[call.operation](call.model)
            await attempt(ex, call, target, operation, fresh)
            return
        except GatewayError as failure:
            attempt_failed(ex, target, failure)
            budget = retry_budget(target.retries, ex.gateway.config.upstream.retries)
            if ex.head_sent or ex.attempts > budget or not may_retry(failure, target.retries is not None):
                raise
            # An upstream that closes idle connections may have closed several at once: what broke on a kept one must
            # not break on the next kept one as well.
            fresh = failure.type == "transport_error"
            wait = backoff(ex.attempts, failure, random.random)
        await ex.sleep(wait)


async def attempt(ex: Exchange, call: Call, target: Target, operation: Operation, fresh: bool) -> None:
    """One request to the upstream, on a connection of its own if `fresh`, and the relay of its answer. Raises
    GatewayError or ClientGone."""
    seconds = target.stream_timeout if ex.stream else target.timeout
    deadline = ex.gateway.deadlines[seconds] if seconds is not None else None
    if deadline is not None:
        deadline.add(ex)
    endpoint = operation.endpoint
    try:
        speaker, body = await outgoing(ex, call, target, endpoint)
        credential = await bearer(ex, endpoint.grant) if endpoint.grant is not None else b""
        connection = (None if fresh else operation.pool.take()) or await dial(ex, operation)
        send(ex, connection, target, operation, body, credential)
        await park()
        if 300 <= connection.answer.status < 400:
            connection = await follow(ex, target, operation, body, credential, connection)
        answer = connection.answer
        if not 200 <= answer.status < 300:
            raise refused(answer, operation)
        ex.relayed = True
        if ex.stream:
            if deadline is not None:
                deadline.add(ex)
            await relay_stream(ex, call, speaker, target, endpoint, connection, deadline)
        else:
            whole = payload(answer)
            if endpoint.series:
                whole = await ask_on(ex, cast(Series, speaker), target, operation, credential, whole)
            out = read_answer(ex, speaker, whole)
            if not (ex.prompt_tokens and ex.completion_tokens) and lacking(ex, call):
                release(ex)
                if deadline is not None:
                    deadline.discard(ex)
                await ex.gateway.estimates.fill(ex, call, partial(call.said, out), len(out))
            kind = answer.content_type
            if endpoint.native and not call.generates and kind is not None:
                ex.answer_json(200, out, content=b"content-type: %b\r\n" % kind)
            else:
                ex.answer_json(200, out, call_id(ex))
    except BaseException:
        if ex.upstream is not None and not ex.upstream.answer.complete:
            ex.upstream.close()
        raise
    finally:
        if deadline is not None:
            deadline.discard(ex)
        if ex.upstream is not None:
            release(ex)


async def ask_on(
    ex: Exchange, speaker: Series, target: Target, operation: Operation, credential: bytes, whole: bytes
) -> bytes:
    """The remaining requests of a series, one after the other; the last answer. Raises GatewayError or ClientGone.

    What the parts used is noted as they come: it was used also when the series comes to nothing.
    """
    ex.relayed = False  # a part is no answer
    before = ex.prompt_tokens
    while (body := speaker.following(whole)) is not None:
        ex.prompt_tokens = ex.total_tokens = before + speaker.used
        release(ex)
        connection = operation.pool.take() or await dial(ex, operation)
        send(ex, connection, target, operation, body, credential)
        await park()
        if 300 <= connection.answer.status < 400:
            connection = await follow(ex, target, operation, body, credential, connection)
        if not 200 <= connection.answer.status < 300:
            raise refused(connection.answer, operation)
        whole = payload(connection.answer)
    ex.relayed = True
    return whole


def refused(answer: AnswerReader, operation: Operation) -> GatewayError:
    """The failure that an answer without success is."""
    if answer.status == 407 and operation.pool.forwarding:
        # RFC 9110 §15.5.8: the proxy's own answer, not the provider's.
        return transport_error("the proxy answered 407")
    reason = unpack_start(answer.take(), answer.content_encoding, BODY_LIMIT)
    return answer_failure(
        answer.status,
        reason,
        answer.retry_after,
        operation.endpoint.family,
        own=operation.endpoint.native,
        name=answer.error_type,
        kind=answer.content_type,
    )


async def follow(
    ex: Exchange,
    target: Target,
    operation: Operation,
    body: bytes,
    credential: bytes,
    connection: UpstreamConnection,
) -> UpstreamConnection:
    """Ask again where a redirect points to, as often as allowed; the connection with the last answer."""
    for _ in range(MAX_REDIRECTS):
        status = connection.answer.status
        place = moved(operation, status, connection.answer.location)
        if place is None:
            break
        if status in CHANGED_TO_GET:
            body = b""
        ex.upstream = None
        connection.finish()
        operation = arrived(place)
        connection = operation.pool.take() or await dial(ex, operation)
        send(ex, connection, target, operation, body, credential)
        await park()
    return connection


async def dial(ex: Exchange, operation: Operation) -> UpstreamConnection:
    """A new connection. One that is finished after the caller has left is closed. For a native relay one
    that is not made in time is a passed deadline."""
    dialled = operation.pool.dial(direct=operation.endpoint.native)
    return await ex.wait(dialled, UpstreamConnection.close)


def send(
    ex: Exchange,
    connection: UpstreamConnection,
    target: Target,
    operation: Operation,
    body: bytes,
    credential: bytes,
) -> None:
    """Hand the request to the connection, which is `ex.upstream` from now on: constant head, request id, credential of
    a grant, configured fields, signature, length, body."""
    ex.upstream = connection
    head = operation.stream_head if ex.stream else operation.head
    extra, sign = credential if operation.own else b"", operation.endpoint.sign
    if target.overrides is not None and operation.own:
        extra += target.overrides.headers(variables(ex, target), ex.request.fields)
    if sign is not None and operation.own:
        extra += sign(b"%b%b\r\n%b" % (head, ex.request_id, extra), body, time())
    if len(body) <= JOIN_LIMIT:
        request = b"%b%b\r\n%bContent-Length: %d\r\n\r\n%b" % (head, ex.request_id, extra, len(body), body)
        connection.send(ex, request, streaming=ex.stream)
    else:
        head = b"%b%b\r\n%bContent-Length: %d\r\n\r\n" % (head, ex.request_id, extra, len(body))
        connection.send(ex, head, streaming=ex.stream)
        connection.transport.write(body)


def payload(answer: AnswerReader) -> bytes:
    """The body of a whole answer, unpacked. Raises a decode error."""
    body, coding = answer.take(), answer.content_encoding
    return body if coding is None else unpack(body, coding, MAX_BODY)


def variables(ex: Exchange, target: Target) -> dict[str, str | None]:
    """What header templates of a provider key may refer to."""
    caller = ex.caller
    assert caller is not None
    return {
        "request.id": ex.request_id.decode(),
        "request.api_key.id": caller.id,
        "request.api_key.name": caller.name,
        "request.api_key.team_id": caller.team_id,
        "request.api_key.user_id": caller.user_id,
        "model.id": target.id,
        "model.name": target.name,
        "provider_key.id": target.key_id,
        "provider_key.name": target.key_name,
    }
