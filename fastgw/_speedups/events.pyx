# cython: autotestdict=False
"""Server-sent events split into their data, and plain text pieces of known protocols rewritten on the spot."""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcmp, memcpy

from .scan cimport (
    JS_MAX_DEPTH, JS_INT, JS_NULL, JS_STRING, js_document, js_enter, js_finish, js_item, js_iter, js_key_is, js_member,
    js_scan, js_start, js_value,
)

PLAIN = 0
MESSAGES = 1
CHAT = 2
RESPONSES = 3


cdef struct Text:
    const uint8_t *at  # a JSON string with its quotes
    size_t size
    bint input         # of a tool, not text
    int index          # of the block or tool; -1: none is named


cdef inline const uint8_t *find(const uint8_t *p, const uint8_t *end, int byte) noexcept nogil:
    cdef const uint8_t *found = <const uint8_t *>memchr(p, byte, end - p) if p < end else NULL
    return found if found != NULL else end


cdef inline bint is_blank(uint8_t byte) noexcept nogil:
    return byte == c" " or byte == c"\t" or byte == c"\n"


cdef inline bint equals(const uint8_t *p, const uint8_t *end, const char *text, size_t size) noexcept nogil:
    return <size_t>(end - p) == size and memcmp(p, text, size) == 0


cdef bint canonical(const uint8_t *p, const uint8_t *end) noexcept nogil:
    """Whether a JSON string is spelled as an encoder would spell its value, so that copying equals re-encoding."""
    cdef uint8_t escape
    while True:
        p = find(p, end, c"\\")
        if p == end:
            return True
        escape = p[1]
        if escape != c'"' and escape != c"\\" and escape != c"n" and escape != c"r" and escape != c"t":
            return False
        p += 2


cdef int take_index(js_scan *s, Text *text) noexcept nogil:
    """A member's value as the index: one digit. Results as those of take_text."""
    cdef const uint8_t *start = s.p
    cdef int kind = js_value(s)
    if kind < 0:
        return -1
    if kind != JS_INT or s.p - start != 1 or text.index >= 0:
        return 0
    text.index = start[0] - c"0"
    return 1


cdef int take_text(js_scan *s, Text *text) noexcept nogil:
    """A member's value, which must be the only text and not empty. 1 when it is, 0 when not, -1 malformed."""
    cdef const uint8_t *start = s.p
    cdef int kind = js_value(s)
    if kind < 0:
        return -1
    if kind != JS_STRING or text.at != NULL or s.p - start <= 2 or not canonical(start + 1, s.p - 1):
        return 0
    text.at = start
    text.size = s.p - start
    return 1


cdef int messages_delta(js_scan *s, Text *text) noexcept nogil:
    """`{"type":"text_delta","text":...}` or `{"type":"input_json_delta","partial_json":...}` and nothing else."""
    cdef js_iter it
    cdef const uint8_t *start
    cdef int more
    cdef int kinds = 0
    cdef int members = 0
    js_enter(s, &it)
    while True:
        more = js_member(s, &it)
        if more <= 0:
            return more if more < 0 else kinds != 0 and kinds == members
        if js_key_is(&it, b"text") or js_key_is(&it, b"partial_json"):
            text.input = js_key_is(&it, b"partial_json")
            members += 2 if text.input else 1
            more = take_text(s, text)
            if more <= 0:
                return more
        elif js_key_is(&it, b"type"):
            start = s.p
            if js_value(s) < 0:
                return -1
            if kinds:
                return 0
            if equals(start, s.p, b'"text_delta"', 12):
                kinds = 1
            elif equals(start, s.p, b'"input_json_delta"', 18):
                kinds = 2
            else:
                return 0
        else:
            return 0


cdef int messages_event(js_scan *s, Text *text) noexcept nogil:
    """A `content_block_delta` of text or of a tool's input."""
    cdef js_iter it
    cdef const uint8_t *start
    cdef int more
    cdef int kinds = 0
    if js_document(s, &it) < 0:
        return -1
    while True:
        more = js_member(s, &it)
        if more <= 0:
            break
        start = s.p
        if start[0] == c"{" and js_key_is(&it, b"delta"):
            more = messages_delta(s, text)
            if more <= 0:
                return more
        elif js_key_is(&it, b"index"):
            more = take_index(s, text)
            if more <= 0:
                return more
        elif js_value(s) < 0:
            return -1
        elif js_key_is(&it, b"type"):
            if not equals(start, s.p, b'"content_block_delta"', 21):
                return 0
            kinds += 1
        else:
            return 0
    return -1 if more < 0 or js_finish(s) < 0 else kinds == 1


cdef int responses_event(js_scan *s, Text *text) noexcept nogil:
    """A `response.output_text.delta` or `response.function_call_arguments.delta`, for listening only: the other members
    are not looked at."""
    cdef js_iter it
    cdef const uint8_t *start
    cdef int more
    cdef int kinds = 0
    if js_document(s, &it) < 0:
        return -1
    while True:
        more = js_member(s, &it)
        if more <= 0:
            break
        if js_key_is(&it, b"delta"):
            more = take_text(s, text)
            if more <= 0:
                return more
            continue
        start = s.p
        if js_value(s) < 0:
            return -1
        if js_key_is(&it, b"type"):
            kinds += 1
            if not equals(start, s.p, b'"response.output_text.delta"', 28):
                if not equals(start, s.p, b'"response.function_call_arguments.delta"', 40):
                    return 0
                text.input = True
        elif js_key_is(&it, b"response"):
            return 0
    return -1 if more < 0 or js_finish(s) < 0 else kinds == 1


cdef int chat_call(js_scan *s, Text *text) noexcept nogil:
    """The only call of a delta, when it brings a piece of its arguments and nothing else."""
    cdef js_iter it
    cdef js_iter members
    cdef int more, kind
    if s.p[0] != c"{":
        return 0
    js_enter(s, &it)
    while True:
        more = js_member(s, &it)
        if more <= 0:
            return more if more < 0 else text.index >= 0
        if js_key_is(&it, b"index"):
            more = take_index(s, text)
            if more <= 0:
                return more
        elif s.p[0] == c"{" and js_key_is(&it, b"function"):
            js_enter(s, &members)
            while True:
                more = js_member(s, &members)
                if more < 0:
                    return -1
                if more == 0:
                    break
                if js_key_is(&members, b"arguments"):
                    more = take_text(s, text)
                    if more <= 0:
                        return more
                    text.input = True
                    continue
                kind = js_value(s)
                if kind != JS_NULL:
                    return -1 if kind < 0 else 0
        else:
            kind = js_value(s)
            if kind < 0:
                return -1
            if kind != JS_NULL and not js_key_is(&it, b"type"):
                return 0


cdef int chat_delta(js_scan *s, Text *text) noexcept nogil:
    """A delta that carries content, or one piece of a call's arguments, and at most the role besides."""
    cdef js_iter it
    cdef js_iter items
    cdef int more, kind
    js_enter(s, &it)
    while True:
        more = js_member(s, &it)
        if more <= 0:
            return more if more < 0 else 1
        if js_key_is(&it, b"content"):
            if s.p[0] == c'"':
                more = take_text(s, text)
                if more <= 0:
                    return more
                continue
        elif s.p[0] == c"[" and js_key_is(&it, b"tool_calls"):
            js_enter(s, &items)
            more = js_item(s, &items)
            if more <= 0:
                return more
            more = chat_call(s, text)
            if more <= 0:
                return more
            more = js_item(s, &items)
            if more:
                return -1 if more < 0 else 0
            continue
        kind = js_value(s)
        if kind < 0:
            return -1
        if kind != JS_NULL and not js_key_is(&it, b"role"):
            return 0


cdef int chat_choice(js_scan *s, Text *text) noexcept nogil:
    """The first choice of a chunk, when it only carries text."""
    cdef js_iter it
    cdef const uint8_t *start
    cdef int more, kind
    js_enter(s, &it)
    while True:
        more = js_member(s, &it)
        if more <= 0:
            return more if more < 0 else 1
        start = s.p
        if start[0] == c"{" and js_key_is(&it, b"delta"):
            more = chat_delta(s, text)
            if more <= 0:
                return more
            continue
        kind = js_value(s)
        if kind < 0:
            return -1
        if js_key_is(&it, b"index"):
            if kind != JS_INT or not equals(start, s.p, b"0", 1):
                return 0
        elif kind != JS_NULL and not js_key_is(&it, b"logprobs"):
            return 0


cdef int chat_event(js_scan *s, Text *text) noexcept nogil:
    """A chunk with one choice that only carries text, and no usage."""
    cdef js_iter it
    cdef js_iter items
    cdef int more, kind, seen
    cdef int known = 0
    if js_document(s, &it) < 0:
        return -1
    while True:
        more = js_member(s, &it)
        if more <= 0:
            break
        if s.p[0] == c"[" and js_key_is(&it, b"choices"):
            js_enter(s, &items)
            more = js_item(s, &items)
            if more <= 0 or s.p[0] != c"{":
                return more if more < 0 else 0
            more = chat_choice(s, text)
            if more <= 0:
                return more
            more = js_item(s, &items)
            if more:
                return -1 if more < 0 else 0
            if known & 4:
                return 0
            known |= 4
            continue
        kind = js_value(s)
        if kind < 0:
            return -1
        if js_key_is(&it, b"id") or js_key_is(&it, b"model"):
            seen = 1 if js_key_is(&it, b"id") else 2
            if kind != JS_STRING or known & seen:
                return 0
            known |= seen
        elif kind != JS_NULL and (js_key_is(&it, b"usage") or js_key_is(&it, b"error") or js_key_is(&it, b"choices")):
            return 0
    return -1 if more < 0 or js_finish(s) < 0 else known == 7


@cython.final
cdef class EventReader:
    """Splits a stream into the data of its events: `feed` in any pieces, then `finish`.

    Line ends are LF, CR or CRLF in any mix, a leading byte order mark is dropped, several data lines are joined by
    newlines, other fields and comments are skipped, blanks around the data are trimmed and empty data dropped. Memory
    between calls: the event in progress, at most max_event bytes; `overflow` beyond, and nothing is read any more.

    shape: MESSAGES or CHAT recognises an event that brings nothing but a piece of text or of a tool's input. While
    `head` is not empty, pieces of text at the start of a `feed` are not returned: `ready` holds them as head + the JSON
    string + tail, and `fast` counts them. `tool` does the same for input of one tool. Only strings that an encoder
    would spell alike are taken, so that it makes no difference to what is written whether an event goes this way or
    the other. RESPONSES recognises such events for a silent reader.
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
    cdef public bytes head
    cdef public bytes tail
    cdef list found
    cdef list written
    cdef readonly bytes ready
    cdef bytearray heard
    cdef bytearray calls
    cdef Py_ssize_t room
    cdef int tool_index
    cdef bytes tool_head
    cdef bytes tool_tail
    cdef readonly Py_ssize_t fast
    cdef readonly bint overflow

    def __cinit__(self, int shape=0, *, bint silent=False, size_t max_event=33554432):
        self.line = bytearray()
        self.event = bytearray()
        self.shape = shape
        self.silent = silent
        self.max_event = max_event
        self.head = self.tail = self.ready = self.tool_head = self.tool_tail = b""

    def tool(self, int index, bytes head not None, bytes tail not None):
        """What goes around pieces of the input of the tool with this index of the upstream; an empty head: none."""
        self.tool_index = index
        self.tool_head = head
        self.tool_tail = tail

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
        self.head = self.tool_head = b""
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
                or ((PyBytes_GET_SIZE(self.head) or PyBytes_GET_SIZE(self.tool_head)) and not self.found)
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
        cdef bytes made
        cdef char *out
        cdef int found
        cdef bytes head = self.head
        cdef bytes tail = self.tail
        cdef bytearray heard = self.heard
        cdef Py_ssize_t before, after
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
            head = self.tool_head
            tail = self.tool_tail
            heard = self.calls
        before = PyBytes_GET_SIZE(head)
        after = PyBytes_GET_SIZE(tail)
        if not self.silent and (before == 0 or (text.input and text.index != self.tool_index)):
            return False
        if heard is not None and PyByteArray_GET_SIZE(heard) + <Py_ssize_t>text.size - 2 > self.room:
            return False
        self.fast += 1
        if not self.silent:
            made = PyBytes_FromStringAndSize(NULL, before + <Py_ssize_t>text.size + after)
            out = PyBytes_AS_STRING(made)
            memcpy(out, PyBytes_AS_STRING(head), before)
            memcpy(out + before, text.at, text.size)
            memcpy(out + before + text.size, PyBytes_AS_STRING(tail), after)
            self.written.append(made)
        if heard is not None:
            before = PyByteArray_GET_SIZE(heard)
            PyByteArray_Resize(heard, before + text.size - 2)
            memcpy(PyByteArray_AS_STRING(heard) + before, text.at + 1, text.size - 2)
        return True
