"""How long an attempt at a direct target may take. Configuration is in milliseconds, results in seconds."""


def answer_deadline(timeout_ms: int | None, default_ms: int) -> float | None:
    """Seconds for one attempt from its start to the last body byte; None is unbounded.

    The target's `timeout` decides, 0 meaning none; when it is absent the deployment's default does, likewise.
    """
    return _seconds(default_ms if timeout_ms is None else timeout_ms)


def stream_deadline(
    stream_timeout_ms: int | None, timeout_ms: int | None, default_stream_ms: int, default_ms: int
) -> tuple[float | None, bool]:
    """(seconds for the head and for each wait for a chunk, whether the target itself configured a bound).

    The first of the four that says something decides: a `stream_timeout` of 0 says nothing, in the target and in the
    default alike, while a `timeout` of 0 ends the search without a bound.
    """
    if stream_timeout_ms:
        return _seconds(stream_timeout_ms), True
    if timeout_ms is not None:
        return _seconds(timeout_ms), timeout_ms > 0
    return _seconds(default_stream_ms or default_ms), False


def _seconds(milliseconds: int) -> float | None:
    return milliseconds / 1000 if milliseconds else None
