"""Which configured time bounds an attempt."""

import pytest

from fastgw.policy.deadlines import answer_deadline, stream_deadline


@pytest.mark.parametrize(
    ("timeout", "default", "seconds"),
    [(None, 6_000_000, 6000.0), (None, 0, None), (0, 500, None), (250, 500, 0.25), (1, 0, 0.001)],
)
def test_answer(timeout: int | None, default: int, seconds: float | None) -> None:
    assert answer_deadline(timeout, default) == seconds


@pytest.mark.parametrize(
    ("stream", "timeout", "default_stream", "default", "expected"),
    [
        (100, 200, 300, 400, (0.1, True)),
        (100, 0, 300, 400, (0.1, True)),
        (0, 200, 300, 400, (0.2, True)),
        (None, 200, 300, 400, (0.2, True)),
        (None, 0, 300, 400, (None, False)),
        (0, 0, 300, 400, (None, False)),
        (None, None, 300, 400, (0.3, False)),
        (0, None, 0, 400, (0.4, False)),
        (None, None, 0, 0, (None, False)),
    ],
)
def test_stream(
    stream: int | None, timeout: int | None, default_stream: int, default: int, expected: tuple[float | None, bool]
) -> None:
    assert stream_deadline(stream, timeout, default_stream, default) == expected
