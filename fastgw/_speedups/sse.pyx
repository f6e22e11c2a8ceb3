# cython: autotestdict=False
"""Sans-IO relay of one streamed chat answer: server-sent events in, the caller's events out."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcmp, memcpy, memset

from .scan cimport (
    CHAT_SAYS, JS_MAX_DEPTH, JS_NULL, JS_OBJECT, JS_STRING, chat_counts, chat_output, chat_output_clear,
    chat_output_copy, chat_output_mark, chat_output_undo, chat_part, chat_path, chat_say, chat_scan_part, chat_usage,
    js_decode, js_document, js_drop, js_edits, js_edits_clear, js_edits_init, js_enter, js_finish, js_item,
    js_iter, js_key_is, js_member, js_put_slot, js_scan, js_splice, js_spliced_size, js_start, js_text, js_value,
)

cdef extern from *:
    """
    typedef struct { uint8_t *data; size_t size, room; } sse_buffer;

    /* Room for `more` bytes behind what the buffer holds, or NULL. */
    static inline uint8_t *sse_room(sse_buffer *b, size_t more)
    {
        if (more > b->room - b->size) {
            size_t room = b->room ? b->room : 1024;
            uint8_t *data;
            if (more > SIZE_MAX / 4 - b->size)
                return NULL;
            while (room < b->size + more)
                room *= 2;
            if (!(data = realloc(b->data, room)))
                return NULL;
            b->data = data;
            b->room = room;
        }
        return b->data + b->size;
    }

    static inline int sse_add(sse_buffer *b, const void *data, size_t size)
    {
        uint8_t *to;
        if (!size)
            return 0;
        if (!(to = sse_room(b, size)))
            return -1;
        memcpy(to, data, size);
        b->size += size;
        return 0;
    }

    /* Empties the buffer and gives its memory back when it grew beyond `keep`. */
    static inline void sse_reset(sse_buffer *b, size_t keep)
    {
        b->size = 0;
        if (b->room > keep) {
            free(b->data);
            b->data = NULL;
            b->room = 0;
        }
    }

    /* Output of the feed in progress. One per thread and not per stream: an idle stream holds no output memory. */
    static _Thread_local sse_buffer sse_output;

    #define SSE_FRONT 18          /* room for a chunk size in hexadecimal and CRLF */
    #define SSE_KEEP_LINE 2048    /* what a stream keeps between events */
    #define SSE_KEEP_OUTPUT 1048576

    enum { EVENT_OK, EVENT_IN_BAND, EVENT_BAD, EVENT_LARGE, EVENT_MEMORY };

    static const js_text VENDOR_NAMES[1] = {{(const uint8_t *)"reasoning", 9}};
    """
    ctypedef struct sse_buffer:
        uint8_t *data
        size_t size
        size_t room

    uint8_t *sse_room(sse_buffer *b, size_t more) nogil
    int sse_add(sse_buffer *b, const void *data, size_t size) nogil
    void sse_reset(sse_buffer *b, size_t keep) nogil
    sse_buffer sse_output
    const int SSE_FRONT, SSE_KEEP_LINE, SSE_KEEP_OUTPUT
    const int EVENT_OK, EVENT_IN_BAND, EVENT_BAD, EVENT_LARGE, EVENT_MEMORY
    const js_text *VENDOR_NAMES

cdef enum:
    MAX_PATH = 8


cdef struct Chunk:  # what one parsed event says
    const uint8_t *id
    size_t id_size
    const uint8_t *model_text
    size_t model_size
    chat_counts usage
    bint model
    bint choices
    bint error
    bint has_usage
    bint carries
    bint finishes
    js_text finish


cdef inline const uint8_t *find(const uint8_t *p, const uint8_t *end, int byte) noexcept nogil:
    cdef const uint8_t *found = <const uint8_t *>memchr(p, byte, end - p) if p < end else NULL
    return found if found != NULL else end


cdef inline bint is_blank(uint8_t byte) noexcept nogil:
    return byte == c" " or byte == c"\t" or byte == c"\n"


cdef int scan_choice(
    js_scan *s, js_edits *edits, const chat_path *path, Chunk *chunk, chat_output *said
) noexcept nogil:
    cdef js_iter it
    cdef chat_part part
    cdef const uint8_t *start
    cdef int more, kind
    js_enter(s, &it)
    while True:
        more = js_member(s, &it)
        if more <= 0:
            return more
        if s.p[0] == c"{" and js_key_is(&it, b"delta"):
            if chat_scan_part(s, edits, path, &part, said) < 0:
                return -1
            chunk.carries |= part.carries
            continue
        start = s.p
        kind = js_value(s)
        if kind < 0:
            return -1
        if kind != JS_NULL and js_key_is(&it, b"finish_reason"):
            chunk.finishes = True
            if kind == JS_STRING:
                chunk.finish = js_text(start + 1, s.p - start - 2)
        elif kind == JS_STRING and s.p - start > 2 and js_key_is(&it, b"text"):
            chunk.carries = True
            if said != NULL:
                chat_say(said, CHAT_SAYS, start, s.p)


cdef int scan_choices(
    js_scan *s, js_edits *edits, const chat_path *path, Chunk *chunk, chat_output *said
) noexcept nogil:
    cdef js_iter it
    cdef int more
    js_enter(s, &it)
    while True:
        more = js_item(s, &it)
        if more <= 0:
            return more
        if (scan_choice(s, edits, path, chunk, said) if s.p[0] == c"{" else js_value(s)) < 0:
            return -1


cdef int scan_chunk(
    js_scan *s, js_edits *edits, const chat_path *path, bint strip, bint rename, Chunk *chunk, chat_output *said
) noexcept nogil:
    """One event's JSON. `strip`: a null `usage` is removed. `rename`: `model` is replaced. Returns -1 when it is
    malformed or no object."""
    cdef js_iter it
    cdef const uint8_t *start
    cdef int more, kind
    cdef size_t dropped = 0
    if js_document(s, &it) < 0:
        return -1
    while True:
        more = js_member(s, &it)
        if more <= 0:
            break
        start = s.p
        if js_key_is(&it, b"choices"):
            chunk.choices = start[0] == c"["
            if (scan_choices(s, edits, path, chunk, said) if chunk.choices else js_value(s)) < 0:
                return -1
        elif start[0] == c"{" and js_key_is(&it, b"usage"):
            chunk.has_usage = True
            if chat_usage(s, edits, &chunk.usage) < 0:
                return -1
        else:
            kind = js_value(s)
            if kind < 0:
                return -1
            if js_key_is(&it, b"id"):
                chunk.id = start + 1 if kind == JS_STRING else NULL
                chunk.id_size = s.p - start - 2
            elif js_key_is(&it, b"model"):
                chunk.model = kind == JS_STRING
                chunk.model_text = start + 1
                chunk.model_size = s.p - start - 2
                if rename:
                    js_put_slot(edits, s, start, s.p, 0)
            elif js_key_is(&it, b"error"):
                chunk.error = kind == JS_OBJECT or kind == JS_STRING
            elif strip and kind == JS_NULL and js_key_is(&it, b"usage"):
                js_drop(edits, s, it.sep, s.p, it.count - 1 - dropped)
                dropped += 1
    return -1 if more < 0 else js_finish(s)


cdef bytes plain(const uint8_t *text, size_t size):
    """Checked string text without its escapes."""
    cdef bytes found = PyBytes_FromStringAndSize(NULL, size)
    return found[:js_decode(text, size, <uint8_t *>PyBytes_AS_STRING(found))]


@cython.final
cdef class ChatStream:
    """Relays one stream of chat or text completion chunks. `feed` upstream bytes, send on what it returns, `finish` or
    `fail`.

    Events are forwarded byte for byte but for `model`, the vendor's reasoning member and promised usage counters. Input
    may be split anywhere. Memory between calls: the event in progress, at most max_frame bytes (failure 3 beyond).

    model_json: the alias as JSON with quotes; empty leaves the upstream's. forward_usage: the caller asked for usage
    events. strip_null_usage: the gateway asked on its own, so a null `usage` is removed. chunked: output is framed for
    HTTP/1.1 (RFC 9112 §7.1).
    reasoning_path: keys below delta, at most 8, of reasoning text that becomes delta.reasoning_content; by default the
    member `reasoning`. Raises ValueError for a longer path.
    """

    cdef bytes model_json
    cdef tuple reasoning_path
    cdef js_text[1] slots
    cdef js_text[MAX_PATH] names
    cdef chat_path path
    cdef bint forward_usage
    cdef bint strip_null_usage
    cdef bint chunked
    cdef size_t max_frame
    cdef js_edits edits
    cdef sse_buffer line     # a line that has not ended yet
    cdef sse_buffer event    # data lines of an event that has not ended yet
    cdef const uint8_t *single   # the event's only data line so far, when it has not been copied to `event`
    cdef size_t single_size
    cdef bint has_data       # the event has a data line
    cdef bint several        # ... more than one, joined by newlines
    cdef bint after_cr       # a newline that comes next belongs to the CR before it
    cdef bint begun          # the first line is over, so no byte order mark can come
    cdef readonly Py_ssize_t frames
    cdef readonly Py_ssize_t forwarded
    cdef readonly bint done
    cdef readonly bint ended
    cdef readonly bint complete         # never: the end of a chat stream is the caller's last event
    cdef readonly bytes finish_reason   # the first one, of any choice
    cdef readonly int failure
    cdef readonly bytes failure_data
    cdef readonly bytes id
    cdef readonly bytes model           # the upstream's name for it, in the event that `id` is from
    cdef readonly long long prompt_tokens
    cdef readonly long long completion_tokens
    cdef readonly long long total_tokens
    cdef readonly long long cached_tokens
    cdef readonly long long reasoning_tokens
    cdef readonly bint has_usage
    cdef chat_output output  # what the caller was told, until the upstream says how many tokens that is

    def __cinit__(
        self,
        bytes model_json not None,
        *,
        bint forward_usage,
        bint strip_null_usage,
        bint chunked=True,
        tuple reasoning_path not None=(),
        size_t max_frame=33554432,
    ):
        cdef bytes name
        cdef Py_ssize_t i
        js_edits_init(&self.edits)
        if len(reasoning_path) > MAX_PATH:
            raise ValueError(f"reasoning_path is longer than {MAX_PATH} keys")
        self.model_json = model_json
        self.slots[0].text = <const uint8_t *>PyBytes_AS_STRING(model_json)
        self.slots[0].size = PyBytes_GET_SIZE(model_json)
        self.reasoning_path = reasoning_path
        for i in range(len(reasoning_path)):
            name = reasoning_path[i]
            self.names[i].text = <const uint8_t *>PyBytes_AS_STRING(name)
            self.names[i].size = PyBytes_GET_SIZE(name)
        self.path.names = self.names
        self.path.count = len(reasoning_path)
        if reasoning_path == (b"reasoning_content",):
            self.path.count = 0
        elif not reasoning_path or reasoning_path == (b"reasoning",):
            self.path = chat_path(VENDOR_NAMES, 1, True)
        self.forward_usage = forward_usage
        self.strip_null_usage = strip_null_usage
        self.chunked = chunked
        self.max_frame = max_frame
        self.failure_data = b""
        self.id = self.model = self.finish_reason = b""

    def __dealloc__(self):
        js_edits_clear(&self.edits)
        sse_reset(&self.line, 0)
        sse_reset(&self.event, 0)
        chat_output_clear(&self.output)

    def feed(self, bytes data not None):
        """Takes upstream bytes and returns those for the caller, b"" if none. Check `failure` and `ended` afterwards.

        One HTTP chunk per call. With the upstream's [DONE] the end of the response is part of what is returned, and all
        later input is ignored, as it is after a failure. Raises MemoryError.
        """
        if self.ended or self.failure:
            return b""
        self.open_output()
        self.settle(self.take(<const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)))
        return self.close_output()

    def finish(self):
        """The clean end of the upstream body: a last event without its blank line, [DONE] and the end of the response.

        b"" when it has ended already, and when that last event is a failure (see `failure`).
        """
        cdef int result = EVENT_OK
        if self.ended or self.failure:
            return b""
        self.open_output()
        if self.line.size:
            result = self.take_line(self.line.data, self.line.size)
        if result == EVENT_OK and self.has_data:
            result = self.dispatch()
        self.settle(result)
        if not self.ended and not self.failure:
            self.emit(b"data: [DONE]\n\n", 14)
            self.ended = True
        return self.close_output()

    def fail(self, bytes payload not None):
        """Ends the stream with an error event, whose data is the given one-line JSON. b"" when it has ended already."""
        if self.ended:
            return b""
        self.open_output()
        self.emit(b"event: error\ndata: ", 19)
        self.emit(PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
        self.emit(b"\n\n", 2)
        self.ended = True
        return self.close_output()

    def comment(self):
        """A keep-alive comment; events are never cut by it. b"" when the stream has ended."""
        if self.ended:
            return b""
        return b"3\r\n:\n\n\r\n" if self.chunked else b":\n\n"

    @property
    def said(self):
        """The text of the events given out so far: content, reasoning, tool names and arguments as one UTF-8 text of at
        most 1 MiB. Empty once the upstream has reported completion tokens."""
        cdef bytes text = PyBytes_FromStringAndSize(NULL, self.output.size)
        chat_output_copy(&self.output, <uint8_t *>PyBytes_AS_STRING(text))
        return text

    @property
    def said_beyond(self):
        """Bytes of that text that were not kept."""
        return self.output.beyond

    # ---- output ----

    cdef int open_output(self) except -1:
        sse_reset(&sse_output, SSE_KEEP_OUTPUT)
        if sse_room(&sse_output, SSE_FRONT) == NULL:
            raise MemoryError
        sse_output.size = SSE_FRONT
        return 0

    cdef int emit(self, const char *text, size_t size) except -1:
        if sse_add(&sse_output, text, size) < 0:
            raise MemoryError
        return 0

    cdef bytes close_output(self):
        """What was written since open_output, framed. The chunk size goes into the bytes reserved in front."""
        cdef size_t size = sse_output.size - SSE_FRONT
        cdef size_t start = SSE_FRONT
        if self.chunked and size:
            self.emit(b"\r\n", 2)
            sse_output.data[start - 1] = c"\n"
            sse_output.data[start - 2] = c"\r"
            start -= 2
            while size:
                start -= 1
                sse_output.data[start] = b"0123456789abcdef"[size & 15]
                size >>= 4
        if self.chunked and self.ended:
            self.emit(b"0\r\n\r\n", 5)
        return PyBytes_FromStringAndSize(<const char *>sse_output.data + start, sse_output.size - start)

    cdef int settle(self, int result) except -1:
        """Notes the outcome of reading. What was read stays forwarded; nothing behind a failure is looked at."""
        if result == EVENT_MEMORY:
            raise MemoryError
        if result != EVENT_OK:
            self.failure = result
            if result != EVENT_LARGE:
                self.failure_data = (<const char *>self.single)[:self.single_size]
        self.single = NULL
        if self.failure or self.ended:
            sse_reset(&self.line, 0)
            sse_reset(&self.event, 0)
        return 0

    # ---- reading ----

    cdef int take(self, const uint8_t *p, size_t size) except -2:
        """Splits input into lines. Each byte is searched once per kind of line end, whatever their mix."""
        cdef const uint8_t *end = p + size
        cdef const uint8_t *stop
        cdef const uint8_t *lf
        cdef const uint8_t *cr
        cdef int result
        if self.after_cr and p < end:
            self.after_cr = False
            if p[0] == c"\n":
                p += 1
        lf = find(p, end, c"\n")
        cr = find(p, end, c"\r")
        while True:
            stop = lf if lf < cr else cr
            if self.line.size + <size_t>(stop - p) > self.max_frame:
                return EVENT_LARGE
            if stop == end:
                break
            if self.line.size:
                if sse_add(&self.line, p, stop - p) < 0:
                    return EVENT_MEMORY
                result = self.take_line(self.line.data, self.line.size)
                self.line.size = 0
            else:
                result = self.take_line(p, stop - p)
            if result != EVENT_OK or self.ended:
                return result
            p = stop + 1
            if stop == cr:
                cr = find(p, end, c"\r")
                self.after_cr = p == end
                if lf == p and p < end:
                    p += 1
            if lf < p:
                lf = find(p, end, c"\n")
        if self.hold_single() < 0:
            return EVENT_MEMORY
        if p < end:
            return EVENT_MEMORY if sse_add(&self.line, p, end - p) < 0 else EVENT_OK
        if not self.line.size:
            sse_reset(&self.line, SSE_KEEP_LINE)
        return EVENT_OK

    cdef int hold_single(self) noexcept:
        """Copies the data line that was left in place, because the bytes it is in are about to go."""
        if self.single == NULL:
            return 0
        self.event.size = 0
        if sse_add(&self.event, self.single, self.single_size) < 0:
            return -1
        self.single = NULL
        return 0

    cdef int take_line(self, const uint8_t *p, size_t size) except -2:
        """One line without its end. Only `data` matters; comments and other fields are skipped."""
        if not self.begun:
            self.begun = True
            if size >= 3 and memcmp(p, b"\xef\xbb\xbf", 3) == 0:
                p += 3
                size -= 3
        if size == 0:
            return self.dispatch() if self.has_data else EVENT_OK
        if size < 4 or memcmp(p, b"data", 4) != 0 or (size > 4 and p[4] != c":"):
            return EVENT_OK
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
            return EVENT_OK
        if self.hold_single() < 0:
            return EVENT_MEMORY
        if self.event.size + 1 + size > self.max_frame:
            return EVENT_LARGE
        self.several = True
        if sse_add(&self.event, b"\n", 1) < 0 or sse_add(&self.event, p, size) < 0:
            return EVENT_MEMORY
        return EVENT_OK

    cdef int dispatch(self) except -2:
        """The event is complete. `single` is left at its JSON, for failure_data."""
        cdef bint several = self.several
        cdef const uint8_t *p = self.single
        cdef size_t size = self.single_size
        cdef int result
        if p == NULL:
            p = self.event.data
            size = self.event.size
        self.has_data = self.several = False
        while size and is_blank(p[0]):
            p += 1
            size -= 1
        while size and is_blank(p[size - 1]):
            size -= 1
        self.single = p
        self.single_size = size
        if size == 0:
            result = EVENT_OK
        elif size == 6 and memcmp(p, b"[DONE]", 6) == 0:
            self.emit(b"data: [DONE]\n\n", 14)
            self.done = self.ended = True
            result = EVENT_OK
        else:
            result = self.relay(p, size, several)
        if result == EVENT_OK:
            self.single = NULL
            sse_reset(&self.event, SSE_KEEP_LINE)
        return result

    cdef int relay(self, const uint8_t *p, size_t size, bint several) except -2:
        """Checks one event's JSON, accounts for it, and writes it out unless it is a withheld usage event."""
        cdef js_scan s
        cdef Chunk chunk
        cdef chat_output *said = NULL if self.completion_tokens else &self.output
        cdef uint8_t *out
        cdef uint8_t *written
        cdef int result
        memset(&chunk, 0, sizeof(chunk))
        js_edits_clear(&self.edits)
        js_start(&s, p, size, JS_MAX_DEPTH)
        chat_output_mark(&self.output)
        result = scan_chunk(
            &s, &self.edits, &self.path, self.strip_null_usage, self.slots[0].size > 0, &chunk, said
        )
        if result < 0 or chunk.id == NULL or not chunk.model or not chunk.choices:
            chat_output_undo(&self.output)
            return EVENT_IN_BAND if result == 0 and chunk.error else EVENT_BAD
        if self.edits.failed:
            return EVENT_MEMORY
        self.frames += 1
        self.account(&chunk)
        if chunk.has_usage and not (chunk.finishes or chunk.carries or self.forward_usage):
            return EVENT_OK
        size = js_spliced_size(&self.edits, size, self.slots)
        out = sse_room(&sse_output, size + 8)
        if out == NULL:
            return EVENT_MEMORY
        memcpy(out, b"data: ", 6)
        written = js_splice(&self.edits, p, s.end - s.base, self.slots, out + 6)
        if several:
            self.join_lines(out + 6, written)
        memcpy(written, b"\n\n", 2)
        sse_output.size += size + 8
        self.forwarded += 1
        return EVENT_OK

    cdef void join_lines(self, uint8_t *p, const uint8_t *end) noexcept:
        """Newlines in checked JSON are white space between tokens: spaces keep it on one line."""
        while p < end:
            if p[0] == c"\n":
                p[0] = c" "
            p += 1

    cdef int account(self, const Chunk *chunk) except -1:
        if chunk.finish.size and not self.finish_reason:
            self.finish_reason = plain(chunk.finish.text, chunk.finish.size)
        if chunk.id_size and not self.id:
            self.id = plain(chunk.id, chunk.id_size)
            self.model = plain(chunk.model_text, chunk.model_size)
        if chunk.has_usage:
            self.has_usage = True
            self.prompt_tokens = max(self.prompt_tokens, chunk.usage.prompt)
            self.completion_tokens = max(self.completion_tokens, chunk.usage.completion)
            self.total_tokens = max(self.total_tokens, chunk.usage.total)
            self.cached_tokens = max(self.cached_tokens, chunk.usage.cached)
            self.reasoning_tokens = max(self.reasoning_tokens, chunk.usage.reasoning)
            if self.completion_tokens:
                chat_output_clear(&self.output)
        return 0
