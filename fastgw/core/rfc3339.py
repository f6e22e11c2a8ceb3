"""RFC 3339 timestamps as resource documents carry them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_TIMESTAMP: Final = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(\.\d+)?(?:[Zz]|([+-])(\d{2}):(\d{2}))", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def parse_rfc3339(text: str) -> float:
    """Unix time in seconds. A leap second (RFC 3339 §5.7) reads as the second before it. Raises ValueError."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 timestamp")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, sign, offset_hours, offset_minutes = match.groups()[6:]
    offset = 0
    if sign:
        if int(offset_hours) > 23 or int(offset_minutes) > 59:
            raise ValueError("offset out of range")
        offset = int(offset_hours) * 60 + int(offset_minutes)
        offset = -offset if sign == "-" else offset
    moment = datetime(year, month, day, hour, minute, 59 if second == 60 else second, tzinfo=UTC)
    seconds = (moment - _EPOCH) // timedelta(seconds=1) - offset * 60
    if second == 60 and seconds % 86400 != 86399:
        raise ValueError("a leap second is the last of a UTC day")
    return seconds + (float(fraction) if fraction else 0.0)
