"""The binary event stream, read and written the slow and readable way: the oracle of the compiled reader."""

import struct
import zlib

SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
KINDS = {b"exception": (1, b":exception-type"), b"error": (2, b":error-code")}

Message = tuple[int, bytes, bytes]


def message(headers: bytes, payload: bytes) -> bytes:
    """One whole message."""
    prelude = struct.pack(">II", len(headers) + len(payload) + 16, len(headers))
    before = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return before + struct.pack(">I", zlib.crc32(before))


def header(name: bytes, value: bytes, kind: int = 7) -> bytes:
    """One header; `value` with the length in front where the type has one."""
    length = struct.pack(">H", len(value)) if kind in (6, 7) else b""
    return bytes([len(name)]) + name + bytes([kind]) + length + value


def event(name: str, payload: bytes, kind: str = "event") -> bytes:
    """A message as Bedrock sends them."""
    own = {"event": b":event-type", "exception": b":exception-type", "error": b":error-code"}[kind]
    headers = header(own, name.encode()) + header(b":content-type", b"application/json")
    return message(headers + header(b":message-type", kind.encode()), payload)


def read(data: bytes, limit: int = 1 << 25) -> tuple[list[Message], int, bool]:
    """Messages; 1 for what is no message, 2 for a message above the limit, else 0; whether nothing is left over."""
    found: list[Message] = []
    while len(data) >= 12:
        total, size, check = struct.unpack(">III", data[:12])
        if zlib.crc32(data[:8]) != check or total < 16 or size > total - 16:
            return found, 1, False
        if total > limit:
            return found, 2, False
        if len(data) < total:
            break
        one, data = data[:total], data[total:]
        headers = parse(one[12 : 12 + size])
        if zlib.crc32(one[:-4]) != struct.unpack(">I", one[-4:])[0] or headers is None:
            return found, 1, False
        kind, name = KINDS.get(headers.get(b":message-type", b""), (0, b":event-type"))
        found.append((kind, headers.get(name, b""), one[12 + size : -4]))
    return found, 0, not data


def parse(data: bytes) -> dict[bytes, bytes] | None:
    """The headers that are strings; None when they are malformed."""
    found = {}
    while data:
        name, data = data[1 : 1 + data[0]], data[1 + data[0] :]
        if not data or data[0] > 9:
            return None
        kind, data = data[0], data[1:]
        if kind in (6, 7):
            if len(data) < 2:
                return None
            size, data = struct.unpack(">H", data[:2])[0], data[2:]
        else:
            size = SIZES[kind]
        if len(data) < size:
            return None
        value, data = data[:size], data[size:]
        if kind == 7:
            found[name] = value
    return found
