# cython: autotestdict=False
"""Messages of `application/vnd.amazon.eventstream`: framing, both checksums, the headers that say what a message is.

A message is, with lengths and checksums as 4 bytes in network order,

    total length | length of headers | CRC-32 of these 8 bytes | headers | payload | CRC-32 of everything before it

and a header is the length of its name (1 byte), the name, a type (1 byte) and a value, whose length follows from the
type or, for bytes (6) and strings (7), is given by 2 bytes before it.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp

EVENT, EXCEPTION, ERROR = 0, 1, 2
BROKEN, LARGE = 1, 2

cdef enum:
    PRELUDE = 12
    CHECKSUM = 4

cdef uint32_t TABLE[4][256]
# Bytes that the value of each header type takes; strings and bytes carry their own length.
cdef int SIZES[10]
SIZES[:] = [0, 0, 1, 2, 4, 8, -1, -1, 8, 16]


cdef void fill_table() noexcept:
    cdef uint32_t crc
    cdef int i, step, _
    for i in range(256):
        crc = i
        for _ in range(8):
            crc = (crc >> 1) ^ (<uint32_t>0xEDB88320 if crc & 1 else 0)
        TABLE[0][i] = crc
    for i in range(256):
        for step in range(1, 4):
            crc = TABLE[step - 1][i]
            TABLE[step][i] = (crc >> 8) ^ TABLE[0][crc & 255]


fill_table()


cdef uint32_t checksum(const uint8_t *p, size_t size) noexcept nogil:
    """CRC-32 as of RFC 1952 §8, four bytes at a time."""
    cdef uint32_t crc = ~<uint32_t>0
    while size >= 4:
        crc = (
            TABLE[3][(crc ^ p[0]) & 255]
            ^ TABLE[2][(crc >> 8 ^ p[1]) & 255]
            ^ TABLE[1][(crc >> 16 ^ p[2]) & 255]
            ^ TABLE[0][(crc >> 24 ^ p[3]) & 255]
        )
        p += 4
        size -= 4
    while size:
        crc = crc >> 8 ^ TABLE[0][(crc ^ p[0]) & 255]
        p += 1
        size -= 1
    return ~crc


cdef inline uint32_t number(const uint8_t *p) noexcept nogil:
    return (<uint32_t>p[0] << 24) | (<uint32_t>p[1] << 16) | (<uint32_t>p[2] << 8) | p[3]


cdef struct Value:
    const uint8_t *at
    size_t size


cdef inline bint equals(const uint8_t *p, size_t size, const char *text, size_t wanted) noexcept nogil:
    return size == wanted and memcmp(p, text, size) == 0


cdef int read_headers(const uint8_t *p, size_t size, int *kind, Value *name) noexcept nogil:
    """What the message is and what it is called. 0, or -1 when the headers are malformed."""
    cdef const uint8_t *end = p + size
    cdef const uint8_t *key
    cdef size_t key_size, value_size
    cdef int type
    cdef Value kind_name, event, exception, error
    kind_name.at = event.at = exception.at = error.at = p
    kind_name.size = event.size = exception.size = error.size = 0
    while p < end:
        key_size = p[0]
        key = p + 1
        if <size_t>(end - key) < key_size + 1:
            return -1
        type = key[key_size]
        p = key + key_size + 1
        if type > 9:
            return -1
        if SIZES[type] >= 0:
            value_size = SIZES[type]
        else:
            if end - p < 2:
                return -1
            value_size = (<size_t>p[0] << 8) | p[1]
            p += 2
        if <size_t>(end - p) < value_size:
            return -1
        if type == 7:
            if equals(key, key_size, b":message-type", 13):
                kind_name.at = p
                kind_name.size = value_size
            elif equals(key, key_size, b":event-type", 11):
                event.at = p
                event.size = value_size
            elif equals(key, key_size, b":exception-type", 15):
                exception.at = p
                exception.size = value_size
            elif equals(key, key_size, b":error-code", 11):
                error.at = p
                error.size = value_size
        p += value_size
    kind[0] = 0
    name[0] = event
    if equals(kind_name.at, kind_name.size, b"exception", 9):
        kind[0] = 1
        name[0] = exception
    elif equals(kind_name.at, kind_name.size, b"error", 5):
        kind[0] = 2
        name[0] = error
    return 0


@cython.final
cdef class MessageReader:
    """Splits a stream into its messages: feed in any pieces, then finish.

    `failure`: BROKEN for bytes that are no message, LARGE for a message of more than `max_message` bytes; nothing is
    read after it.
    """

    cdef readonly int failure
    cdef bytearray rest
    cdef size_t wanted
    cdef size_t max_message

    def __cinit__(self, *, size_t max_message=33554432):
        self.rest = bytearray()
        self.wanted = PRELUDE
        self.max_message = max_message

    def feed(self, bytes data not None):
        """(kind, name, payload) of the messages that `data` completes. The name is that of the event or of the
        exception, or the code of the error; b"" when the message does not say."""
        cdef list found = []
        cdef size_t used
        cdef size_t size = PyBytes_GET_SIZE(data)
        if self.failure:
            return found
        if PyByteArray_GET_SIZE(self.rest):
            self.rest += data
            size = PyByteArray_GET_SIZE(self.rest)
            if size < self.wanted:
                return found
            used = self.take(<const uint8_t *>PyByteArray_AS_STRING(self.rest), size, found)
            del self.rest[:used]
        else:
            used = self.take(<const uint8_t *>PyBytes_AS_STRING(data), size, found)
            if used < size:
                self.rest += data[used:]
        return found

    def finish(self):
        """The stream has ended: inside of a message it is BROKEN."""
        if PyByteArray_GET_SIZE(self.rest) and not self.failure:
            self.failure = BROKEN
        return self.failure

    cdef size_t take(self, const uint8_t *p, size_t size, list found) except? 0:
        """Reads whole messages; the bytes used. `wanted` is what the next one needs to be looked at again."""
        cdef const uint8_t *start = p
        cdef size_t total, headers
        cdef int kind = 0
        cdef Value name
        while True:
            self.wanted = PRELUDE
            if size < PRELUDE:
                break
            total = number(p)
            headers = number(p + 4)
            if checksum(p, 8) != number(p + 8) or total < PRELUDE + CHECKSUM:
                self.failure = BROKEN
                break
            if headers > total - PRELUDE - CHECKSUM:
                self.failure = BROKEN
                break
            if total > self.max_message:
                self.failure = LARGE
                break
            self.wanted = total
            if size < total:
                break
            if (
                checksum(p, total - CHECKSUM) != number(p + total - CHECKSUM)
                or read_headers(p + PRELUDE, headers, &kind, &name) < 0
            ):
                self.failure = BROKEN
                break
            found.append(
                (
                    kind,
                    (<const char *>name.at)[:name.size],
                    (<const char *>p + PRELUDE + headers)[:total - headers - PRELUDE - CHECKSUM],
                )
            )
            p += total
            size -= total
        return p - start
