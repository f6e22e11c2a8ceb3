# cython: autotestdict=False
"""Log lines as bytes: foreign text made harmless, lines about requests, and the lines that wait for their reader."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcpy, memmove
from libc.time cimport strftime, time_t, tm
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

cimport cython

cdef extern from "<time.h>" nogil:
    tm *gmtime_r(const time_t *seconds, tm *out)

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    const uint8_t *PyUnicode_1BYTE_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)


cdef extern from *:
    """
    #define ONES 0x0101010101010101u
    #define TOPS 0x8080808080808080u
    """
    const uint64_t ONES
    const uint64_t TOPS

cdef enum:
    KEPT = 262144     # bytes that an empty backlog keeps
    MAX_MODEL = 1024  # characters of the model name as a line shows it: what was asked for may be as long as a body
    NAME = 256        # characters of an identifier or a name that came from a provider or a caller
    SECOND = 19       # characters of a time down to the second
    MOMENT = 27       # and of one down to the microsecond, with its zone


# -- Text between quotes: JSON's escapes, so that its libraries read it back, and \u.... also for everything else that a
# terminal or a parser takes for a control.


cdef inline uint64_t odd_bytes(uint64_t word) noexcept nogil:
    """The top bit of one of the eight bytes is set when one of them does not stand for itself between quotes."""
    # Above 0x7E; below 0x20 or a quote, 0x22, which the exclusive or brings next to those; a backslash. A carry or a
    # borrow comes only from a byte that is one of them.
    return word | word + ONES | (word ^ ONES * 2) - ONES * 0x21 | (word ^ ONES * 0x5C) - ONES


cdef inline uint64_t load(const uint8_t *p) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, p, 8)
    return word


cdef inline bint copy_plain(const uint8_t *p, Py_ssize_t size, uint8_t *to) noexcept nogil:
    """Copies text of which every byte stands for itself between quotes. False when one does not. There must be room for
    8 bytes at the least."""
    cdef Py_ssize_t i
    cdef uint64_t word = ONES * c" "
    cdef uint64_t odd = 0
    if size < 8:
        for i in range(size):
            (<uint8_t *>&word)[i] = p[i]
        memcpy(to, &word, 8)
        return odd_bytes(word) & TOPS == 0
    for i in range(0, size - 7, 8):
        word = load(p + i)
        memcpy(to + i, &word, 8)
        odd |= odd_bytes(word)
    word = load(p + size - 8)
    memcpy(to + size - 8, &word, 8)
    return (odd | odd_bytes(word)) & TOPS == 0


cdef inline bint is_control(uint32_t c) noexcept nogil:
    return c < 0x20 or 0x7F <= c <= 0x9F or c == 0x2028 or c == 0x2029


cdef inline int spell(uint32_t c, uint8_t *out) noexcept nogil:
    """Writes a character as it stands between quotes, at most 6 bytes. A surrogate, which has no UTF-8, is `?`."""
    cdef const char *hexadecimal = b"0123456789abcdef"
    cdef int short = 0
    if is_control(c) or c == c'"' or c == c"\\":
        if c == c'"' or c == c"\\":
            short = <int>c
        elif c == c"\n":
            short = c"n"
        elif c == c"\t":
            short = c"t"
        elif c == c"\r":
            short = c"r"
        elif c == c"\b":
            short = c"b"
        elif c == c"\f":
            short = c"f"
        out[0] = c"\\"
        if short:
            out[1] = <uint8_t>short
            return 2
        out[1] = c"u"
        out[2] = hexadecimal[c >> 12]
        out[3] = hexadecimal[c >> 8 & 15]
        out[4] = hexadecimal[c >> 4 & 15]
        out[5] = hexadecimal[c & 15]
        return 6
    if c < 0x80:
        out[0] = <uint8_t>c
        return 1
    if c < 0x800:
        out[0] = <uint8_t>(0xC0 | c >> 6)
        out[1] = <uint8_t>(0x80 | c & 63)
        return 2
    if 0xD800 <= c <= 0xDFFF:
        out[0] = c"?"
        return 1
    if c < 0x10000:
        out[0] = <uint8_t>(0xE0 | c >> 12)
        out[1] = <uint8_t>(0x80 | c >> 6 & 63)
        out[2] = <uint8_t>(0x80 | c & 63)
        return 3
    out[0] = <uint8_t>(0xF0 | c >> 18)
    out[1] = <uint8_t>(0x80 | c >> 12 & 63)
    out[2] = <uint8_t>(0x80 | c >> 6 & 63)
    out[3] = <uint8_t>(0x80 | c & 63)
    return 4


cdef bytes spelled(str text):
    cdef Py_UCS4 c
    cdef uint8_t[8] scratch
    cdef Py_ssize_t size = 0
    cdef bytes out
    cdef uint8_t *to
    for c in text:
        size += spell(c, scratch)
    out = PyBytes_FromStringAndSize(NULL, size)
    to = <uint8_t *>PyBytes_AS_STRING(out)
    for c in text:
        to += spell(c, to)
    return out


cdef bytes spelled_any(object value):
    return spelled(<str>value if isinstance(value, str) else (<bytes?>value).decode("utf-8", "replace"))


cdef inline const uint8_t *raw(object value, Py_ssize_t *size) noexcept:
    """The bytes of a text that may be copied as they are; NULL: it must be spelled."""
    if isinstance(value, bytes):
        size[0] = PyBytes_GET_SIZE(value)
        return <const uint8_t *>PyBytes_AS_STRING(value)
    if isinstance(value, str) and PyUnicode_IS_ASCII(value):
        size[0] = PyUnicode_GET_LENGTH(value)
        return PyUnicode_1BYTE_DATA(value)
    return NULL


def inside(value not None):
    """Text, or bytes that should be UTF-8, as it stands between quotes: quotes, backslashes and controls escaped."""
    cdef Py_ssize_t size = 0
    cdef const uint8_t *p = raw(value, &size)
    cdef bytes out
    if p == NULL or size < 8:
        return spelled_any(value)
    out = PyBytes_FromStringAndSize(NULL, size)
    return out if copy_plain(p, size, <uint8_t *>PyBytes_AS_STRING(out)) else spelled_any(value)


def plain(value, Py_ssize_t limit=NAME):
    """Foreign text without control characters, cut to `limit` characters; empty for none."""
    return cleaned(value, limit)


cdef str cleaned(object value, Py_ssize_t limit):
    cdef str text
    cdef list kept
    cdef Py_UCS4 c
    cdef Py_ssize_t i
    cdef bint odd = False
    cdef const uint8_t *p
    if value is None:
        return ""
    text = (<bytes>value).decode("utf-8", "replace") if isinstance(value, bytes) else <str?>value
    if PyUnicode_IS_ASCII(text) and PyUnicode_GET_LENGTH(text) <= limit:
        p = PyUnicode_1BYTE_DATA(text)
        for i in range(PyUnicode_GET_LENGTH(text)):
            odd |= (p[i] < 0x20) | (p[i] == 0x7F)
        if not odd:
            return text
    kept = []
    for c in text:
        if not is_control(c):
            if len(kept) >= limit:
                break
            kept.append(c)
    return "".join(kept)


# -- Lines.


cdef int tell_second(time_t second, char *out) except -1:
    cdef tm parts
    if gmtime_r(&second, &parts) == NULL or strftime(out, SECOND + 1, b"%Y-%m-%dT%H:%M:%S", &parts) != SECOND:
        raise OSError("the clock shows no date that has four digits for its year")
    return 0


cdef inline void tell_microseconds(long nanoseconds, char *out) noexcept nogil:
    """`.123456Z`"""
    cdef long rest = nanoseconds // 1000
    cdef int i
    out[0] = c"."
    for i in range(6, 0, -1):
        out[i] = <char>(c"0" + rest % 10)
        rest //= 10
    out[7] = c"Z"


def moment():
    """Now, RFC 3339 in UTC with microseconds."""
    cdef timespec now
    cdef char[MOMENT + 1] out
    clock_gettime(CLOCK_REALTIME, &now)
    tell_second(now.tv_sec, out)
    tell_microseconds(now.tv_nsec, out + SECOND)
    return PyBytes_FromStringAndSize(out, MOMENT)


@cython.final
cdef class Backlog:
    """Lines that wait to be written, first in, first out: at most `limit`, further ones are dropped and counted. While
    `idle`, the next line calls `wake`, and ends that. For one thread.

    Text is str, or bytes that should be UTF-8; a request id is visible ASCII. A value that is neither text nor a number
    where one belongs raises TypeError, and makes no line.
    """

    cdef readonly Py_ssize_t dropped
    cdef public bint idle
    cdef Py_ssize_t limit
    cdef Py_ssize_t count
    cdef object wake
    cdef char *data
    cdef Py_ssize_t room
    cdef Py_ssize_t begin    # of the lines in data
    cdef Py_ssize_t end
    cdef Py_ssize_t at       # where the line that is being made goes on
    cdef Py_ssize_t opening  # bytes of it up to its message
    cdef time_t second       # the one in `stamp`
    cdef char[SECOND + 1] stamp

    def __cinit__(self, Py_ssize_t limit, wake not None):
        self.limit = limit
        self.wake = wake
        self.idle = True
        self.second = -1

    def __dealloc__(self):
        PyMem_RawFree(self.data)

    def __len__(self):
        return self.count

    def put(self, bytes line not None):
        """Add a line, given with its end."""
        if self.full(1):
            return
        self.at = self.end
        self.push(PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))
        self.arrived(ends(PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line)))

    def request(
        self, bytes request_id not None, long long event, bint streamed, method, path, long long status, double seconds,
        provider, model, caller, long long prompt, long long completion, long long total, answer, version, handler,
        kind, long long attempts, problem, message,
    ):
        """The lines about a request.

        `provider call completed`, unless `event`, the status of the attempt, is 0, `answer` empty or `handler` None.
        `answer` and `version` are the provider's names for its answer and its model, as they came; a `kind` of None is
        that of a first attempt.

        `proxy request completed`, unless `streamed` at the end of an attempt, when it was written before. Left out
        there: `provider`, `model`, `caller` and `answer` that are empty or None, numbers from `prompt` on that are 0,
        tokens when `streamed`, `problem` and `message` that are None. A total below the sum of prompt and completion
        counts as that sum.
        """
        cdef str name = cleaned(answer, NAME)
        cdef str served
        cdef bint called = event != 0 and handler is not None and PyUnicode_GET_LENGTH(name) > 0
        cdef bint accessed = not (event and streamed)
        if self.full(called + accessed):
            return
        if model is not None and PyUnicode_GET_LENGTH(<str?>model) > MAX_MODEL:
            model = (<str>model)[:MAX_MODEL]
        self.open(request_id)
        if called:
            self.push(b"provider call completed", 23)
            self.text(b' request_id="', 13, request_id)
            self.text(b' provider_request_id="', 22, name)
            self.push(b" attempt_index=", 15)
            self.number(attempts - 1)
            self.text(b' attempt_kind="', 15, "initial" if kind is None else kind)
            self.text(b' handler="', 10, handler)
            self.push(b" status=", 8)
            self.number(event)
            self.text(b' requested_model="', 18, "" if model is None else model)
            served = cleaned(version, NAME)
            if PyUnicode_GET_LENGTH(served) > 0:
                self.text(b' provider_model_version="', 25, served)
            self.push(b"\n", 1)
            if accessed:
                self.again()
        if accessed:
            self.push(b"proxy request completed", 23)
            self.text(b' method="', 9, method)
            self.text(b' path="', 7, path)
            self.push(b" status=", 8)
            self.number(status)
            self.push(b" latency_ms=", 12)
            self.number(<long long>(seconds * 1000))
            if given(provider):
                self.text(b' provider="', 11, provider)
            if given(model):
                self.text(b' model="', 8, model)
            if given(caller):
                self.text(b' api_key_id="', 13, caller)
            if not streamed:
                self.tokens(prompt, completion, max(total, prompt + completion))
            self.text(b' request_id="', 13, request_id)
            if PyUnicode_GET_LENGTH(name) > 0:
                self.text(b' provider_request_id="', 22, name)
            if attempts:
                self.push(b" routing_attempt_count=", 23)
                self.number(attempts)
            if problem is not None:
                self.text(b' error_kind="', 13, problem)
            if message is not None:
                self.text(b' error="', 8, message)
            self.push(b"\n", 1)
        if called or accessed:
            self.arrived(called + accessed)

    def take(self, Py_ssize_t size):
        """Remove the first lines and return them: as many whole ones as `size` bytes hold, or one that is longer."""
        cdef Py_ssize_t live = self.end - self.begin
        cdef const char *first = self.data + self.begin
        cdef const char *found
        cdef bytes out
        if live > size:
            while size > 0 and first[size - 1] != c"\n":
                size -= 1
            if size <= 0:
                found = <const char *>memchr(first, c"\n", live)
                size = found - first + 1 if found != NULL else live
            live = size
        out = PyBytes_FromStringAndSize(first, live)
        self.begin += live
        self.count -= ends(first, live)
        if self.begin == self.end:
            self.begin = self.end = self.count = 0
            if self.room > KEPT:
                PyMem_RawFree(self.data)
                self.data = NULL
                self.room = 0
        return out

    cdef inline bint full(self, Py_ssize_t lines) noexcept:
        """Whether there is no room for so many lines, which are dropped then."""
        if self.count + lines <= self.limit:
            return False
        self.dropped += lines
        return True

    cdef int open(self, bytes request_id) except -1:
        """Begin a line about a request, whose id is visible ASCII."""
        cdef timespec now
        clock_gettime(CLOCK_REALTIME, &now)
        if now.tv_sec != self.second:
            tell_second(now.tv_sec, self.stamp)
            self.second = now.tv_sec
        self.at = self.end
        self.ensure(MOMENT)
        memcpy(self.data + self.at, self.stamp, SECOND)
        tell_microseconds(now.tv_nsec, self.data + self.at + SECOND)
        self.at += MOMENT
        self.push(b"  INFO request{request_id=", 26)
        self.push(PyBytes_AS_STRING(request_id), PyBytes_GET_SIZE(request_id))
        self.push(b"}: fastgw::proxy: ", 18)
        self.opening = self.at - self.end
        return 0

    cdef int again(self) except -1:
        """Begin another line like the one before."""
        self.ensure(self.opening)
        memcpy(self.data + self.at, self.data + self.end, self.opening)
        self.at += self.opening
        return 0

    cdef int tokens(self, long long prompt, long long completion, long long total) except -1:
        if prompt:
            self.push(b" prompt_tokens=", 15)
            self.number(prompt)
        if completion:
            self.push(b" completion_tokens=", 19)
            self.number(completion)
        if total:
            self.push(b" total_tokens=", 14)
            self.number(total)
        return 0

    cdef int arrived(self, Py_ssize_t lines) except -1:
        self.end = self.at
        self.count += lines
        if self.idle:
            self.idle = False
            self.wake()
        return 0

    cdef inline int text(self, const char *key, Py_ssize_t key_size, object value) except -1:
        """A field in quotes; `key` ends with the first of them."""
        self.push(key, key_size)
        return self.quoted(value)

    cdef int quoted(self, object value) except -1:
        cdef Py_ssize_t size = 0
        cdef const uint8_t *p = raw(value, &size)
        if p == NULL:
            return self.spell(value)
        self.ensure(size + 8)
        if not copy_plain(p, size, <uint8_t *>self.data + self.at):
            return self.spell(value)
        self.at += size
        self.data[self.at] = c'"'
        self.at += 1
        return 0

    cdef int spell(self, object value) except -1:
        cdef bytes made = spelled_any(value)
        self.push(PyBytes_AS_STRING(made), PyBytes_GET_SIZE(made))
        return self.push(b'"', 1)

    cdef int number(self, long long value) except -1:
        cdef unsigned long long rest = <unsigned long long>value
        cdef unsigned long long bound = 10
        cdef int digits = 1
        cdef char *to
        self.ensure(20)
        if value < 0:
            rest = -rest
            self.data[self.at] = c"-"
            self.at += 1
        while digits < 19 and rest >= bound:
            digits += 1
            bound *= 10
        to = self.data + self.at
        self.at += digits
        while digits:
            digits -= 1
            to[digits] = <char>(c"0" + rest % 10)
            rest //= 10
        return 0

    cdef inline int push(self, const char *at, Py_ssize_t size) except -1:
        self.ensure(size)
        memcpy(self.data + self.at, at, size)
        self.at += size
        return 0

    cdef inline int ensure(self, Py_ssize_t size) except -1:
        if self.room - self.at < size:
            return self.grow(size)
        return 0

    cdef int grow(self, Py_ssize_t size) except -1:
        """Room for `size` more bytes. At least half of it is free afterwards, so a byte is moved only so often."""
        cdef Py_ssize_t live = self.at - self.begin
        cdef Py_ssize_t room
        cdef char *data
        if self.begin:
            memmove(self.data, self.data + self.begin, live)
            self.end -= self.begin
            self.at = live
            self.begin = 0
        if live + size > self.room // 2:
            room = max(2 * (live + size), 4096)
            data = <char *>PyMem_RawRealloc(self.data, room)
            if data == NULL:
                raise MemoryError
            self.data = data
            self.room = room
        return 0


cdef inline bint given(object value) noexcept:
    """Text that is not empty."""
    if value is None:
        return False
    return not isinstance(value, str) or PyUnicode_GET_LENGTH(value) > 0


cdef Py_ssize_t ends(const char *p, Py_ssize_t size) noexcept nogil:
    """The line ends in there."""
    cdef const char *end = p + size
    cdef Py_ssize_t count = 0
    while p < end:
        p = <const char *>memchr(p, c"\n", end - p)
        if p == NULL:
            break
        p += 1
        count += 1
    return count
