# cython: autotestdict=False
"""Server-sent events split into their data, and plain text pieces of known protocols rewritten on the spot."""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.stdio cimport snprintf
from libc.string cimport memcmp, memcpy

from .pieces cimport Text, chat_event, find, messages_event, responses_event
from .scan cimport JS_MAX_DEPTH, js_scan, js_start

PLAIN = 0
MESSAGES = 1
CHAT = 2
RESPONSES = 3


@cython.final
cdef class Numbers:
    """The numbers of a stream's events: `next` is the one that comes next."""

    cdef public unsigned long long next


@cython.final
cdef class Frame:
    """What is written around a piece of text: head + its JSON string + tail, or head + a number + middle + its JSON
    string + tail. With `kept`, the inside of the JSON string is also added to it."""

    cdef bytes head
    cdef bytes middle
    cdef bytes tail
    cdef Numbers numbers
    cdef bytearray kept

    def __init__(self, bytes head not None, bytes tail not None, bytes middle not None=b"", Numbers numbers=None,
                 bytearray kept=None):
        self.head = head
        self.tail = tail
        self.middle = middle
        self.numbers = numbers
        self.kept = kept

    cdef bytes around(self, const uint8_t *text, size_t size):
        cdef Py_ssize_t before = PyBytes_GET_SIZE(self.head)
        cdef Py_ssize_t between = 0
        cdef Py_ssize_t after = PyBytes_GET_SIZE(self.tail)
        cdef char digits[24]
        cdef int count = 0
        cdef bytes made
        cdef char *out
        if self.numbers is not None:
            count = snprintf(digits, sizeof(digits), b"%llu", self.numbers.next)
            self.numbers.next += 1
            between = PyBytes_GET_SIZE(self.middle)
        made = PyBytes_FromStringAndSize(NULL, before + count + between + <Py_ssize_t>size + after)
        out = PyBytes_AS_STRING(made)
        memcpy(out, PyBytes_AS_STRING(self.head), before)
        out += before
        memcpy(out, digits, count)
        out += count
        memcpy(out, PyBytes_AS_STRING(self.middle), between)
        out += between
        memcpy(out, text, size)
        memcpy(out + size, PyBytes_AS_STRING(self.tail), after)
        return made


cdef int add(bytearray kept, const uint8_t *text, size_t size) except -1:
    """The inside of a JSON string."""
    cdef Py_ssize_t before
    if kept is not None:
        before = PyByteArray_GET_SIZE(kept)
        PyByteArray_Resize(kept, before + <Py_ssize_t>size - 2)
        memcpy(PyByteArray_AS_STRING(kept) + before, text + 1, size - 2)
    return 0


cdef inline bint is_blank(uint8_t byte) noexcept nogil:
    return byte == c" " or byte == c"\t" or byte == c"\n"


@cython.final
cdef class EventReader:
    """Splits a stream into the data of its events: `feed` in any pieces, then `finish`.

    Line ends are LF, CR or CRLF in any mix, a leading byte order mark is dropped, several data lines are joined by
    newlines, other fields and comments are skipped, blanks around the data are trimmed and empty data dropped. Memory
    between calls: the event in progress, at most max_event bytes; `overflow` beyond, and nothing is read any more.

    shape: MESSAGES or CHAT recognises an event that brings nothing but a piece of text or of a tool's input. While
    there is a `frame`, pieces of text at the start of a `feed` are not returned: `ready` holds them in it, and `fast`
    counts them. `tool` does the same for input of one tool. Only strings that an encoder would spell alike are taken,
    so that it makes no difference to what is written whether an event goes this way or the other. RESPONSES recognises
    such events for a silent reader.
    silent: such events are only added to what is heard (see `listen`), and neither returned nor written.
    """

    cdef bytearray line     # a line that has not ended yet
    cdef bytearray event    # data lines of an event that has not ended yet
    cdef const uint8_t *single  # the event's only data line so far, when it has not been copied to `event`
    cdef size_t single_size
    cdef bint has_data
    cdef bint after_cr      # a newline that comes next belongs to the CR before it
    cdef bint begun         # the first line is over, so no byte order mark can come
    cdef int shape
    cdef bint silent
    cdef size_t max_event
    cdef public Frame frame
    cdef list found
    cdef list written
    cdef readonly bytes ready
    cdef bytearray heard
    cdef bytearray calls
    cdef Py_ssize_t room
    cdef int tool_index
    cdef Frame tool_frame
    cdef readonly Py_ssize_t fast
    cdef readonly bint overflow

    def __cinit__(self, int shape=0, *, bint silent=False, size_t max_event=33554432):
        self.line = bytearray()
        self.event = bytearray()
        self.shape = shape
        self.silent = silent
        self.max_event = max_event
        self.ready = b""

    def tool(self, int index, Frame frame):
        """The frame of pieces of the input of the tool with this index of the upstream."""
        self.tool_index = index
        self.tool_frame = frame

    def listen(self, bytearray heard not None, bytearray calls not None, Py_ssize_t room):
        """Rewritten texts are also added to `heard`, input of tools to `calls`, each as the inside of a JSON string.
        What would make it longer than `room` bytes is not rewritten."""
        self.heard = heard
        self.calls = calls
        self.room = room

    def feed(self, bytes data not None):
        """The data of the events that `data` completes."""
        self.ready = b""
        if self.overflow:
            return []
        self.found = []
        self.written = []
        self.take(<const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        if self.written:
            self.ready = <bytes>self.written[0] if len(self.written) == 1 else b"".join(self.written)
        found, self.found = self.found, None
        return found

    def finish(self):
        """The data of a last event whose blank line, or line end, is missing; b"" when there is none."""
        if self.overflow:
            return b""
        self.found = []
        self.written = []
        self.frame = self.tool_frame = None
        if self.line:
            self.take_line(<const uint8_t *>PyByteArray_AS_STRING(self.line), PyByteArray_GET_SIZE(self.line))
        if self.has_data:
            self.dispatch()
        found, self.found = self.found, None
        self.line = bytearray()
        self.event = bytearray()
        return found[0] if found else b""

    cdef int take(self, const uint8_t *p, size_t size) except -1:
        """Splits input into lines. Each byte is searched once per kind of line end, whatever their mix."""
        cdef const uint8_t *end = p + size
        cdef const uint8_t *stop
        cdef const uint8_t *lf
        cdef const uint8_t *cr
        if self.after_cr and p < end:
            self.after_cr = False
            if p[0] == c"\n":
                p += 1
        lf = find(p, end, c"\n")
        cr = find(p, end, c"\r")
        while True:
            stop = lf if lf < cr else cr
            if PyByteArray_GET_SIZE(self.line) + <size_t>(stop - p) > self.max_event:
                self.overflow = True
                return 0
            if stop == end:
                break
            if PyByteArray_GET_SIZE(self.line):
                self.line += (<const char *>p)[:stop - p]
                self.take_line(<const uint8_t *>PyByteArray_AS_STRING(self.line), PyByteArray_GET_SIZE(self.line))
                # What the event still needs of this line must be copied before the line goes.
                self.hold_single()
                self.line = bytearray()
            else:
                self.take_line(p, stop - p)
            if self.overflow:
                return 0
            p = stop + 1
            if stop == cr:
                cr = find(p, end, c"\r")
                self.after_cr = p == end
                if lf == p and p < end:
                    p += 1
            if lf < p:
                lf = find(p, end, c"\n")
        self.hold_single()
        if p < end:
            self.line += (<const char *>p)[:end - p]
        return 0

    cdef int hold_single(self) except -1:
        """Copies the data line that was left in place, because the bytes it is in are about to go."""
        if self.single != NULL:
            self.event = bytearray((<const char *>self.single)[:self.single_size])
            self.single = NULL
        return 0

    cdef int take_line(self, const uint8_t *p, size_t size) except -1:
        """One line without its end. Only `data` matters."""
        if not self.begun:
            self.begun = True
            if size >= 3 and memcmp(p, b"\xef\xbb\xbf", 3) == 0:
                p += 3
                size -= 3
        if size == 0:
            return self.dispatch() if self.has_data else 0
        if size < 4 or memcmp(p, b"data", 4) != 0 or (size > 4 and p[4] != c":"):
            return 0
        p += 4
        size -= 4
        if size:
            p += 1
            size -= 1
        if size and p[0] == c" ":
            p += 1
            size -= 1
        if not self.has_data:
            self.has_data = True
            self.single = p
            self.single_size = size
            return 0
        self.hold_single()
        if PyByteArray_GET_SIZE(self.event) + 1 + size > self.max_event:
            self.overflow = True
            return 0
        self.event += b"\n"
        self.event += (<const char *>p)[:size]
        return 0

    cdef int dispatch(self) except -1:
        """The event is complete."""
        cdef const uint8_t *p = self.single
        cdef size_t size = self.single_size
        if p == NULL:
            p = <const uint8_t *>PyByteArray_AS_STRING(self.event)
            size = PyByteArray_GET_SIZE(self.event)
        while size and is_blank(p[0]):
            p += 1
            size -= 1
        while size and is_blank(p[size - 1]):
            size -= 1
        self.has_data = False
        if size and not (
            self.shape
            and (
                self.silent
                or ((self.frame is not None or self.tool_frame is not None) and not self.found)
            )
            and self.rewritten(p, size)
        ):
            self.found.append((<const char *>p)[:size])
        self.single = NULL
        if PyByteArray_GET_SIZE(self.event):
            self.event = bytearray()
        return 0

    cdef bint rewritten(self, const uint8_t *p, size_t size) except -1:
        """Writes an event that is a piece of text out; False when it is anything else."""
        cdef js_scan s
        cdef Text text
        cdef int found
        cdef Frame frame = self.frame
        cdef bytearray heard = self.heard
        text.at = NULL
        text.input = False
        text.index = -1
        js_start(&s, p, size, JS_MAX_DEPTH)
        if self.shape == 1:
            found = messages_event(&s, &text)
        elif self.shape == 2:
            found = chat_event(&s, &text)
        else:
            found = responses_event(&s, &text)
        if found <= 0 or text.at == NULL:
            return False
        if text.input:
            frame = self.tool_frame
            heard = self.calls
        if not self.silent and (frame is None or (text.input and text.index != self.tool_index)):
            return False
        if heard is not None and PyByteArray_GET_SIZE(heard) + <Py_ssize_t>text.size - 2 > self.room:
            return False
        self.fast += 1
        if not self.silent:
            self.written.append(frame.around(text.at, text.size))
            add(frame.kept, text.at, text.size)
        add(heard, text.at, text.size)
        return True
