"""Drives the compiled HTTP readers over any pieces of input and tells everything they saw."""

from __future__ import annotations

from collections.abc import Iterable

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, HttpResponseParser

from fastgw._speedups.head import AnswerReader, Request, RequestReader

Outcome = tuple[list[tuple[object, ...]], str]


def seen(request: Request) -> tuple[object, ...]:
    """All there is to know about a request."""
    return (
        request.method,
        request.target,
        request.path,
        request.query,
        request.http11,
        request.keep_alive,
        tuple(request.fields),
        request.authorization,
        request.api_key,
        request.content_type,
        request.content_length,
        request.chunked,
        request.expects_continue,
        request.has_body,
        request.flaws,
        request.complete,
        request.received,
        request.body(),
    )


def read_requests(pieces: Iterable[bytes]) -> Outcome:
    """The requests in the pieces, and how reading ended: "" or the kind of exception. Nothing else may escape."""
    reader = RequestReader()
    parser = reader.parser = HttpRequestParser(reader)
    end = ""
    try:
        for piece in pieces:
            parser.feed_data(piece)
    except HttpParserError as error:
        end = f"{type(error).__name__}: {error}"
    except HttpParserUpgrade:
        end = "upgrade"
    found = []
    while (request := reader.take()) is not None:
        found.append(seen(request))
    reader.parser = None
    return found, end


def read_answers(pieces: Iterable[bytes]) -> tuple[object, ...]:
    """What one upstream connection's reader saw of the answer to one request, or only how it failed before the head."""
    reader = AnswerReader()
    parser = reader.parser = HttpResponseParser(reader)
    reader.begin()
    body, end = b"", ""
    try:
        for piece in pieces:
            parser.feed_data(piece)
            body += reader.take()
    except HttpParserError as error:
        end = type(error).__name__
        body += reader.take()
    except HttpParserUpgrade:
        end = "upgrade"
    reader.parser = None
    if not reader.head_done:
        # How many fields were reported before a broken one depends on the pieces; nobody looks at them.
        return (end,)
    return (
        reader.status,
        reader.complete,
        reader.keep_alive,
        reader.until_close,
        reader.received,
        reader.retry_after,
        reader.content_encoding,
        reader.location,
        reader.overrun,
        body,
        end,
    )
