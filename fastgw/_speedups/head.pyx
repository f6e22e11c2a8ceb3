"""HTTP/1.1 message readers: httptools' callbacks, collected in C.

httptools (llhttp) decides what the bytes mean; these classes only keep what it reports, so that no Python
function runs per header field or body piece. `RequestReader` turns a byte stream of a client into `Request`
objects, `AnswerReader` does the same for one upstream connection. Both are sans-IO and are reused for the life
of a connection. What llhttp lets pass and a proxy must refuse is noted in `Request.flaws`; the server decides
what to answer.

`RequestIds` mints UUID version 4 texts (RFC 9562 §5.4) from blocks of kernel randomness.
"""

import os

cimport cython

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr, memcpy

# What is wrong with a head although llhttp accepted it; several may be set.
FLAW_HOST = 1            # RFC 9112 §3.2: not exactly one Host field on HTTP/1.1, or one that cannot be a host
FLAW_CODING = 2          # RFC 9112 §6.1: a transfer coding other than exactly "chunked"
FLAW_CODING_10 = 4       # RFC 9112 §6.1: Transfer-Encoding on HTTP/1.0
FLAW_TARGET = 8          # RFC 9112 §3.2: none of the four forms, a fragment, user information, "*" without OPTIONS
FLAW_VERSION = 16        # a version above 1.1
FLAW_FIELDS = 32         # more fields than MAX_FIELDS
FLAW_EXPECT = 64         # RFC 9110 §10.1.1: an expectation other than 100-continue
FLAW_UNSIZED = 128       # RFC 9112 §6.3 (4): "chunked" is not the final transfer coding
FLAW_NO_VERSION = 256    # HTTP/0.9, spoken or implied: such a client cannot read an answer with a head

MAX_FIELDS = 128

cdef enum:
    _HOST = 1
    _CODING = 2
    _CODING_10 = 4
    _TARGET = 8
    _VERSION = 16
    _FIELDS = 32
    _EXPECT = 64
    _UNSIZED = 128
    _NO_VERSION = 256
    _MAX_FIELDS = 128

cdef bytes EMPTY = b""
cdef long long _HUGE = 461168601842738790    # a tenth of 2**62
cdef str S11 = "1.1"
cdef str S10 = "1.0"
cdef str S09 = "0.9"


cdef inline bint same(const char *text, Py_ssize_t length, const char *lower, Py_ssize_t wanted) noexcept nogil:
    """ASCII case-insensitive equality with a lower-case literal."""
    cdef Py_ssize_t i
    cdef char c
    if length != wanted:
        return False
    for i in range(length):
        c = text[i]
        if c >= 65 and c <= 90:
            c += 32
        if c != lower[i]:
            return False
    return True


cdef bytes lowered(bytes name):
    cdef Py_ssize_t i, n = PyBytes_GET_SIZE(name)
    cdef const char *source = PyBytes_AS_STRING(name)
    cdef bytes result
    cdef char *target
    for i in range(n):
        if source[i] >= 65 and source[i] <= 90:
            break
    else:
        return name
    # Made empty and then filled: given a source, CPython hands out its shared object for a text of one byte.
    result = PyBytes_FromStringAndSize(NULL, n)
    target = PyBytes_AS_STRING(result)
    for i in range(n):
        target[i] = source[i] + 32 if source[i] >= 65 and source[i] <= 90 else source[i]
    return result


cdef bytes stripped(bytes value):
    """RFC 9110 §5.5: optional white space around a field value is not part of it."""
    cdef Py_ssize_t start = 0, end = PyBytes_GET_SIZE(value)
    cdef const char *text = PyBytes_AS_STRING(value)
    while start < end and (text[start] == 32 or text[start] == 9):
        start += 1
    while end > start and (text[end - 1] == 32 or text[end - 1] == 9):
        end -= 1
    if start == 0 and end == PyBytes_GET_SIZE(value):
        return value
    return PyBytes_FromStringAndSize(text + start, end - start)


cdef long long number(bytes value) noexcept:
    """A Content-Length that llhttp has already validated; numbers above 2**62 are as good as 2**62."""
    cdef Py_ssize_t i, n = PyBytes_GET_SIZE(value)
    cdef const char *text = PyBytes_AS_STRING(value)
    cdef long long total = 0
    for i in range(n):
        if text[i] < 48 or text[i] > 57:
            return -1
        if total >= _HUGE:
            return _HUGE * 10
        total = total * 10 + (text[i] - 48)
    return total


cdef inline bint ends_chunked(bytes value) noexcept:
    """True when the last member of a Transfer-Encoding list is "chunked"."""
    cdef const char *text = PyBytes_AS_STRING(value)
    cdef Py_ssize_t start, n = PyBytes_GET_SIZE(value)
    start = n
    while start > 0 and text[start - 1] != 44:
        start -= 1
    while start < n and (text[start] == 32 or text[start] == 9):
        start += 1
    return same(text + start, n - start, b"chunked", 7)


cdef inline bint hostlike(bytes value) noexcept:
    """RFC 9110 §7.2, RFC 3986 §3.2.2: no character that ends an authority, introduces user information, or is not
    allowed in it at all. Which of the others make a name is for the resolver to say."""
    cdef const unsigned char *text = <const unsigned char *> PyBytes_AS_STRING(value)
    cdef Py_ssize_t i
    cdef unsigned char c
    for i in range(PyBytes_GET_SIZE(value)):
        c = text[i]
        if c <= 32 or c >= 127 or c in b"\"#/<>?@\\^`{|}":
            return False
    return True


@cython.final
cdef class Request:
    """One request: the head as received, and its body as far as it has arrived.

    `fields` holds (lower-case name, value) in order of arrival; the fields that every request needs have
    slots of their own (first value, None when absent). Trailer fields are dropped (RFC 9110 §6.5.1 allows it).
    """

    cdef readonly bytes method
    cdef readonly bytes target
    cdef readonly bytes path
    cdef readonly bytes query
    cdef readonly bint http11
    cdef readonly bint keep_alive
    cdef readonly list fields
    cdef readonly bytes authorization
    cdef readonly bytes api_key
    cdef readonly bytes content_type
    cdef readonly long long content_length
    cdef readonly bint chunked
    cdef readonly bint expects_continue
    cdef readonly int flaws
    cdef readonly bint complete
    cdef readonly long long received
    cdef list parts
    cdef int hosts

    def __cinit__(self):
        self.fields = []
        self.content_length = -1
        self.target = EMPTY

    @property
    def has_body(self):
        return self.chunked or self.content_length > 0

    def rewritten(self, bytes path):
        """The same request aimed at another path (query kept)."""
        self.path = path

    def first(self, bytes name):
        """First value of a field by its lower-case name, or None."""
        cdef tuple field
        for field in self.fields:
            if field[0] == name:
                return field[1]
        return None

    def all(self, bytes name):
        """All values of a field by its lower-case name, in order."""
        return [value for key, value in self.fields if key == name]

    def body(self):
        """Everything received so far as one bytes object."""
        if self.parts is None:
            return EMPTY
        if len(self.parts) > 1:
            self.parts = [b"".join(self.parts)]
        return self.parts[0]

    def forget_body(self):
        """Drop the received bytes (they still count in `received`)."""
        self.parts = None

    cdef void add_field(self, bytes raw_name, bytes raw_value):
        cdef const char *text = PyBytes_AS_STRING(raw_name)
        cdef Py_ssize_t n = PyBytes_GET_SIZE(raw_name)
        cdef bytes value = stripped(raw_value)
        cdef bytes name
        if len(self.fields) >= _MAX_FIELDS:
            self.flaws |= _FIELDS
            return
        if n == 4 and same(text, n, b"host", 4):
            self.hosts += 1
            if not hostlike(value):
                self.flaws |= _HOST
            name = b"host"
        elif n == 9 and same(text, n, b"x-api-key", 9):
            if self.api_key is None:
                self.api_key = value
            name = b"x-api-key"
        elif n == 13 and same(text, n, b"authorization", 13):
            if self.authorization is None:
                self.authorization = value
            name = b"authorization"
        elif n == 12 and same(text, n, b"content-type", 12):
            if self.content_type is None:
                self.content_type = value
            name = b"content-type"
        elif n == 14 and same(text, n, b"content-length", 14):
            self.content_length = number(value)
            name = b"content-length"
        elif n == 17 and same(text, n, b"transfer-encoding", 17):
            name = b"transfer-encoding"
            if self.chunked or not same(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), b"chunked", 7):
                self.flaws |= _CODING
            self.chunked = True
            self.flaws = self.flaws & ~_UNSIZED if ends_chunked(value) else self.flaws | _UNSIZED
        elif n == 6 and same(text, n, b"expect", 6):
            name = b"expect"
            if same(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), b"100-continue", 12):
                self.expects_continue = True
            else:
                self.flaws |= _EXPECT
        else:
            name = lowered(raw_name)
        self.fields.append((name, value))

    cdef void close_head(self, bytes method, str version, bint keep_alive):
        cdef const char *text = PyBytes_AS_STRING(self.target)
        cdef Py_ssize_t n = PyBytes_GET_SIZE(self.target)
        cdef const char *mark
        self.method = method
        self.keep_alive = keep_alive
        self.http11 = version == S11
        if not self.http11:
            if version == S09:
                self.flaws |= _NO_VERSION
            elif version != S10:
                self.flaws |= _VERSION
            elif self.chunked:
                self.flaws |= _CODING_10
            # RFC 9112 §9.3: close outweighs keep-alive; for 1.0, llhttp looks only for the latter.
            if keep_alive and self._says_close():
                self.keep_alive = False
            # RFC 9110 §10.1.1: expectations of a 1.0 client are ignored.
            self.expects_continue = False
            self.flaws &= ~_EXPECT
        elif self.hosts != 1:
            self.flaws |= _HOST
        if self.hosts > 1:
            self.flaws |= _HOST
        if memchr(text, 35, n) != NULL:
            self.flaws |= _TARGET
        if n > 0 and text[0] == 47:
            mark = <const char *> memchr(text, 63, n)
            if mark == NULL:
                self.path = self.target
                self.query = EMPTY
            else:
                self.path = PyBytes_FromStringAndSize(text, mark - text)
                self.query = PyBytes_FromStringAndSize(mark + 1, n - (mark - text) - 1)
        else:
            self._other_form(method)

    cdef bint _says_close(self):
        for value in self.all(b"connection"):
            for token in value.split(b","):
                if token.strip().lower() == b"close":
                    return True
        return False

    cdef void _other_form(self, bytes method):
        # RFC 9112 §3.2.2: an absolute-form target replaces Host; only its path matters here.
        cdef bytes rest, lower = self.target[:8].lower()
        self.query = EMPTY
        self.path = self.target
        if method == b"CONNECT":
            return
        if self.target == b"*":
            if method != b"OPTIONS":
                self.flaws |= _TARGET
            return
        if lower.startswith(b"http://"):
            rest = self.target[7:]
        elif lower.startswith(b"https://"):
            rest = self.target[8:]
        else:
            self.flaws |= _TARGET
            return
        authority, _, _ = rest.partition(b"?")
        authority = authority.partition(b"/")[0]
        # RFC 9110 §4.2.4: user information in a received target is an error.
        if not authority or not hostlike(authority):
            self.flaws |= _TARGET
            return
        rest = rest[len(authority):]
        if not rest.startswith(b"/"):
            rest = b"/" + rest
        self.path, _, self.query = rest.partition(b"?")


@cython.final
cdef class RequestReader:
    """Callbacks for one httptools.HttpRequestParser; completed heads wait in `queue` in order of arrival."""

    cdef public object parser
    cdef readonly list queue
    cdef readonly Request current
    cdef readonly bint reading_body
    cdef readonly bint upgrade
    cdef readonly Request head    # the one whose fields are still arriving
    cdef readonly long quiet      # chunk headers, extensions and trailers since the last body byte
    cdef bint replay

    def __cinit__(self):
        self.queue = []

    def rearm(self, parser):
        """Continue the current request with a new parser that is being fed a copy of its head.

        An upgrade that the server ignores makes llhttp end the message before its body; the copy lacks the
        upgrade, so the body is read (RFC 9110 §7.8: a server may ignore Upgrade)."""
        self.parser = parser
        self.replay = True
        self.upgrade = False

    def take(self):
        """The oldest request whose head is complete, or None."""
        return self.queue.pop(0) if self.queue else None

    def bulk(self):
        """How many bytes are certainly body: what a declared length leaves of it. 0 outside such a body."""
        if not self.reading_body or self.current.chunked:
            return 0
        return self.current.content_length - self.current.received

    def count_quiet(self, long n):
        """Account for n bytes about to be fed while a chunked body is being read; returns the running total."""
        self.quiet += n
        return self.quiet

    def on_message_begin(self):
        if self.replay:
            return
        self.head = Request()

    def on_url(self, bytes part):
        if self.replay:
            return
        if self.head.target:
            self.head.target += part
        else:
            self.head.target = part

    def on_header(self, bytes name, bytes value):
        if self.replay or self.reading_body:
            return
        self.head.add_field(name, value)

    def on_headers_complete(self):
        cdef Request head
        if self.replay:
            self.replay = False
            return
        head = self.head
        self.head = None
        head.close_head(self.parser.get_method(), self.parser.get_http_version(), self.parser.should_keep_alive())
        self.current = head
        self.reading_body = True
        self.quiet = 0
        self.upgrade = self.parser.should_upgrade()
        self.queue.append(head)

    def on_chunk_header(self):
        self.quiet = 0

    def on_body(self, bytes part):
        cdef Request request = self.current
        self.quiet = 0
        request.received += PyBytes_GET_SIZE(part)
        if request.parts is None:
            request.parts = [part]
        else:
            request.parts.append(part)

    def on_message_complete(self):
        if self.upgrade:
            return
        self.current.complete = True
        self.reading_body = False


@cython.final
cdef class AnswerReader:
    """Callbacks for one httptools.HttpResponseParser. `begin()` is called before each request."""

    cdef public object parser
    cdef readonly int status
    cdef readonly bint head_done
    cdef readonly bint complete
    cdef readonly bint keep_alive
    cdef readonly bint until_close      # RFC 9112 §6.3 (8): the body ends with the connection
    cdef readonly long long received
    cdef readonly bytes retry_after
    cdef readonly bytes content_encoding
    cdef readonly bytes location
    cdef readonly bytes content_type
    cdef readonly bytes error_type
    cdef readonly int fields
    cdef readonly bint overrun          # bytes after the end of the answer: the connection is not reusable
    cdef bint sized
    cdef list parts

    def begin(self):
        self.status = 0
        self.head_done = self.complete = self.keep_alive = self.until_close = self.sized = self.overrun = False
        self.received = 0
        self.retry_after = self.content_encoding = self.location = self.content_type = self.error_type = None
        self.parts = None
        self.fields = 0

    def take(self):
        """The body bytes that arrived since the last call."""
        cdef list parts = self.parts
        if parts is None:
            return EMPTY
        self.parts = None
        if len(parts) == 1:
            return parts[0]
        return b"".join(parts)

    def on_message_begin(self):
        if self.complete:
            self.overrun = True

    def on_header(self, bytes name, bytes value):
        cdef const char *text = PyBytes_AS_STRING(name)
        cdef Py_ssize_t n = PyBytes_GET_SIZE(name)
        if self.head_done:
            return
        self.fields += 1
        if n == 11 and same(text, n, b"retry-after", 11):
            self.retry_after = stripped(value)
        elif n == 12 and same(text, n, b"content-type", 12):
            self.content_type = stripped(value)
        elif n == 14 and same(text, n, b"content-length", 14):
            self.sized = True
        elif n == 16 and same(text, n, b"content-encoding", 16):
            self.content_encoding = stripped(value)
        elif n == 16 and same(text, n, b"x-amzn-errortype", 16):
            self.error_type = stripped(value)
        elif n == 17 and same(text, n, b"transfer-encoding", 17):
            self.sized = True
        elif n == 8 and same(text, n, b"location", 8):
            self.location = stripped(value)

    def on_headers_complete(self):
        cdef int status = self.parser.get_status_code()
        if self.overrun:
            return
        if 100 <= status < 200 and status != 101:
            return  # RFC 9110 §15.2: interim responses come before the final one
        self.status = status
        self.head_done = True
        self.keep_alive = self.parser.should_keep_alive()
        self.until_close = not self.sized and status != 204 and status != 304

    def on_body(self, bytes part):
        if self.overrun:
            return
        self.received += PyBytes_GET_SIZE(part)
        if self.parts is None:
            self.parts = [part]
        else:
            self.parts.append(part)

    def on_message_complete(self):
        if self.head_done:
            self.complete = True
        else:
            self.begin()


cdef const char *HEX = b"0123456789abcdef"


@cython.final
cdef class RequestIds:
    """Random request ids: UUID version 4 as 36 ASCII bytes."""

    cdef bytes pool
    cdef Py_ssize_t used

    def __cinit__(self):
        self.pool = EMPTY

    def next(self):
        cdef unsigned char raw[16]
        cdef bytes text
        cdef char *out
        cdef int i, at = 0
        if self.used + 16 > PyBytes_GET_SIZE(self.pool):
            self.pool = os.urandom(4096)
            self.used = 0
        memcpy(raw, PyBytes_AS_STRING(self.pool) + self.used, 16)
        self.used += 16
        raw[6] = (raw[6] & 0x0F) | 0x40
        raw[8] = (raw[8] & 0x3F) | 0x80
        text = PyBytes_FromStringAndSize(NULL, 36)
        out = PyBytes_AS_STRING(text)
        for i in range(16):
            if i == 4 or i == 6 or i == 8 or i == 10:
                out[at] = 45
                at += 1
            out[at] = HEX[raw[i] >> 4]
            out[at + 1] = HEX[raw[i] & 15]
            at += 2
        return text
