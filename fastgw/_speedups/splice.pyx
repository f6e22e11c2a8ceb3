# cython: autotestdict=False
"""JSON documents read in one pass and changed by splicing bytes: top-level spans, chat requests, chat answers."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memchr

from .scan cimport (
    CHAT_NO_USAGE, JS_ABSENT, JS_ARRAY, JS_DUPLICATE, JS_FALSE, JS_FLOAT, JS_INT, JS_MAX_DEPTH, JS_MISSING, JS_NULL,
    JS_OBJECT, JS_STRING, JS_TRUE, JS_TYPE, chat_counts, chat_part, chat_path, chat_scan_part, chat_usage,
    js_decode, js_document, js_edits, js_edits_clear, js_edits_init, js_enter, js_field, js_finish, js_item,
    js_iter, js_key_equals, js_key_is, js_known, js_member, js_put, js_put_slot, js_refuse, js_scan, js_splice,
    js_spliced_size, js_start, js_text, js_value,
)

cdef extern from *:
    """
    enum { SLOT_MODEL, SLOT_STREAM, SLOT_OPTIONS, SLOT_TAIL, SLOTS };

    #define AS(kind) (1u << JS_##kind)

    enum {
        ASK_MODEL, ASK_MESSAGES, ASK_REQUIRED, ASK_STREAM = ASK_REQUIRED, ASK_OPTIONS, ASK_TEMPERATURE, ASK_TOP_P,
        ASK_MAX_TOKENS, ASK_FIELDS
    };
    static const js_field ASK[ASK_FIELDS] = {
        {"model", AS(STRING)},
        {"messages", AS(ARRAY)},
        {"stream", AS(TRUE) | AS(FALSE) | AS(NULL)},
        {"stream_options", AS(OBJECT) | AS(NULL)},
        {"temperature", AS(INT) | AS(FLOAT) | AS(NULL)},
        {"top_p", AS(INT) | AS(FLOAT) | AS(NULL)},
        {"max_tokens", AS(INT) | AS(NULL)},
    };

    enum { SAY_ROLE, SAY_CONTENT, SAY_NAME, SAY_TOOL_CALL_ID, SAY_FIELDS };
    static const js_field SAY[SAY_FIELDS] = {
        {"role", AS(STRING)},
        {"content", AS(STRING) | AS(ARRAY) | AS(NULL)},
        {"name", AS(STRING) | AS(NULL)},
        {"tool_call_id", AS(STRING) | AS(NULL)},
    };

    enum { ANSWER_ID, ANSWER_MODEL, ANSWER_CHOICES, ANSWER_REQUIRED, ANSWER_USAGE = ANSWER_REQUIRED, ANSWER_FIELDS };
    static const js_field ANSWER[ANSWER_FIELDS] = {
        {"id", AS(STRING)},
        {"model", AS(STRING)},
        {"choices", AS(ARRAY)},
        {"usage", ~0u},
    };

    static const js_text VENDOR_NAMES[1] = {{(const uint8_t *)"reasoning", 9}};
    static const chat_path VENDOR_REASONING = {VENDOR_NAMES, 1, 1};
    """
    const int SLOT_MODEL, SLOT_STREAM, SLOT_OPTIONS, SLOT_TAIL, SLOTS
    const int ASK_MODEL, ASK_MESSAGES, ASK_REQUIRED, ASK_STREAM, ASK_OPTIONS, ASK_MAX_TOKENS, ASK_FIELDS
    const int SAY_ROLE, SAY_CONTENT, SAY_FIELDS
    const int ANSWER_ID, ANSWER_MODEL, ANSWER_CHOICES, ANSWER_REQUIRED, ANSWER_USAGE, ANSWER_FIELDS
    const js_field *ASK
    const js_field *SAY
    const js_field *ANSWER
    const chat_path VENDOR_REASONING

ABSENT = JS_ABSENT
globals()["NULL"] = JS_NULL  # the bare name is Cython's null pointer
FALSE = JS_FALSE
TRUE = JS_TRUE
INT = JS_INT
FLOAT = JS_FLOAT
STRING = JS_STRING
ARRAY = JS_ARRAY
OBJECT = JS_OBJECT

cdef tuple REASONS = ("", "syntax", "utf8", "depth", "missing", "type", "duplicate", "empty")


class ScanError(ValueError):
    """A document that is malformed or not of the wanted shape.

    `reason` is one of syntax, utf8, depth, missing, type, duplicate, empty; `field` the JSON path of the known field at
    fault, "" for the document; `offset` the byte at which it was noticed.
    """

    def __init__(self, reason, field, offset):
        super().__init__(reason, field, offset)
        self.reason = reason
        self.field = field
        self.offset = offset

    def __str__(self):
        return f"{self.reason} at byte {self.offset}" + (f" in {self.field}" if self.field else "")


cdef object fault(const js_scan *s):
    """The ScanError for a refused scan."""
    cdef str field = ""
    if s.reason in (JS_MISSING, JS_TYPE, JS_DUPLICATE):
        if s.name != NULL:
            field = (<bytes>s.name).decode()
        if s.list != NULL:
            field = f"{(<bytes>s.list).decode()}[{s.index}]" + (f".{field}" if field else "")
    return ScanError(REASONS[s.reason], field, s.at - s.base)


cdef str text_of(const uint8_t *text, size_t size):
    """Decodes checked string text without its quotes; a lone surrogate escape becomes U+FFFD."""
    cdef bytes decoded
    if memchr(text, b"\\", size) == NULL:
        return (<const char *>text)[:size].decode("utf-8")
    decoded = PyBytes_FromStringAndSize(NULL, size)
    size = js_decode(text, size, <uint8_t *>PyBytes_AS_STRING(decoded))
    return PyBytes_AS_STRING(decoded)[:size].decode("utf-8")


cdef bytes splice(const js_edits *edits, bytes body, const js_text *slots):
    cdef size_t size = PyBytes_GET_SIZE(body)
    cdef const uint8_t *base = <const uint8_t *>PyBytes_AS_STRING(body)
    cdef bytes out = PyBytes_FromStringAndSize(NULL, js_spliced_size(edits, size, slots))
    js_splice(edits, base, size, slots, <uint8_t *>PyBytes_AS_STRING(out))
    return out


cdef inline js_text literal(bytes text):
    cdef js_text found
    found.text = <const uint8_t *>PyBytes_AS_STRING(text)
    found.size = PyBytes_GET_SIZE(text)
    return found


cdef inline void begin(js_scan *s, bytes body, int max_depth) noexcept:
    js_start(s, <const uint8_t *>PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body), max_depth)


def top_level(bytes data not None, tuple names not None, int max_depth=JS_MAX_DEPTH):
    """Kind, start and end of the value of each name in the top-level object, None where absent.

    The whole document is checked. Keys are compared decoded. Raises ScanError, also when one of the names is there
    twice ("duplicate"); ValueError when max_depth is not in 1..128.
    """
    cdef js_scan s
    cdef js_iter it
    cdef int more, kind
    cdef Py_ssize_t i, found, start, count = len(names)
    cdef bytes name
    cdef list spans = [None] * count
    if not 1 <= max_depth <= JS_MAX_DEPTH:
        raise ValueError(f"max_depth must be 1..{JS_MAX_DEPTH}")
    begin(&s, data, max_depth)
    if js_document(&s, &it) < 0:
        raise fault(&s)
    while True:
        more = js_member(&s, &it)
        if more <= 0:
            break
        found = -1
        for i in range(count):
            name = names[i]
            if js_key_equals(&it, <const uint8_t *>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name)):
                found = i
                break
        start = s.p - s.base
        if found >= 0 and spans[found] is not None:
            raise ScanError("duplicate", name.decode("utf-8", "replace"), it.key - s.base - 1)
        kind = js_value(&s)
        if kind < 0:
            raise fault(&s)
        if found >= 0:
            spans[found] = (kind, start, s.p - s.base)
    if more < 0 or js_finish(&s) < 0:
        raise fault(&s)
    return tuple(spans)


# ---- requests ----

cdef struct Request:
    const uint8_t *model
    size_t model_size
    Py_ssize_t messages
    bint stream
    bint include_usage
    bint has_options


cdef inline bint is_u32(const uint8_t *p, const uint8_t *end) noexcept nogil:
    cdef unsigned long long value = 0
    if p[0] == c"-" or end - p > 10:
        return False
    while p < end:
        value = value * 10 + (p[0] - c"0")
        p += 1
    return value >> 32 == 0


cdef int scan_message(js_scan *s, js_edits *edits) noexcept nogil:
    """One element of `messages`, which is an object: checked, and its content made a string when there is none."""
    cdef js_iter it
    cdef const uint8_t *opened = s.p
    cdef const uint8_t *start
    cdef const uint8_t *role_end = NULL
    cdef int more, kind, field
    cdef unsigned seen = 0
    js_enter(s, &it)
    while True:
        more = js_member(s, &it)
        if more <= 0:
            break
        field = js_known(&it, SAY, SAY_FIELDS)
        start = s.p
        if field >= 0:
            s.name = SAY[field].name
            if seen & (1u << field):
                return js_refuse(s, JS_DUPLICATE, it.key - 1)
            seen |= 1u << field
        kind = js_value(s)
        if kind < 0:
            return -1
        if field < 0:
            continue
        if not SAY[field].kinds & (1u << kind):
            return js_refuse(s, JS_TYPE, start)
        s.name = NULL
        if field == SAY_ROLE:
            role_end = s.p
        elif field == SAY_CONTENT and kind == JS_NULL:
            js_put(edits, s, start, s.p, b'""')
    if more < 0:
        return -1
    if role_end == NULL:
        s.name = SAY[SAY_ROLE].name
        return js_refuse(s, JS_MISSING, opened)
    if not seen & (1u << SAY_CONTENT):
        js_put(edits, s, role_end, role_end, b',"content":""')
    return JS_OBJECT


cdef int scan_messages(js_scan *s, js_edits *edits, Request *request) noexcept nogil:
    cdef js_iter it
    cdef const uint8_t *start
    cdef int more, kind
    if s.p[0] != c"[":
        return js_value(s)
    js_enter(s, &it)
    s.list = b"messages"
    s.name = NULL
    while True:
        more = js_item(s, &it)
        if more <= 0:
            break
        s.index = it.count - 1
        start = s.p
        kind = scan_message(s, edits) if s.p[0] == c"{" else js_value(s)
        if kind < 0:
            return -1
        if kind != JS_OBJECT:
            return js_refuse(s, JS_TYPE, start)
    s.list = NULL
    request.messages = it.count
    return JS_ARRAY if more == 0 else -1


cdef int scan_options(js_scan *s, Request *request) noexcept nogil:
    """`stream_options`; a repeated include_usage is not refused, because the object goes upstream as it is."""
    cdef js_iter it
    cdef int more, kind
    if s.p[0] != c"{":
        return js_value(s)
    request.has_options = True
    js_enter(s, &it)
    while True:
        more = js_member(s, &it)
        if more <= 0:
            break
        kind = js_value(s)
        if kind < 0:
            return -1
        if js_key_is(&it, b"include_usage"):
            request.include_usage = kind == JS_TRUE
    return JS_OBJECT if more == 0 else -1


cdef int scan_field(js_scan *s, js_edits *edits, Request *request, int field) noexcept nogil:
    """A known top-level member: checks its value, notes it, and marks the place if rendering may change it."""
    cdef const uint8_t *start = s.p
    cdef int kind
    if field == ASK_MESSAGES:
        kind = scan_messages(s, edits, request)
    elif field == ASK_OPTIONS:
        kind = scan_options(s, request)
    else:
        kind = js_value(s)
    if kind < 0:
        return -1
    if not ASK[field].kinds & (1u << kind):
        return js_refuse(s, JS_TYPE, start)
    if field == ASK_MODEL:
        request.model = start + 1
        request.model_size = s.p - start - 2
        js_put_slot(edits, s, start, s.p, SLOT_MODEL)
    elif field == ASK_STREAM:
        request.stream = kind == JS_TRUE
        js_put_slot(edits, s, start, s.p, SLOT_STREAM)
    elif field == ASK_OPTIONS and kind == JS_NULL:
        js_put_slot(edits, s, start, s.p, SLOT_OPTIONS)
    elif field == ASK_MAX_TOKENS and kind == JS_INT and not is_u32(start, s.p):
        return js_refuse(s, JS_TYPE, start)
    return 0


cdef int scan_request(js_scan *s, js_edits *edits, Request *request, unsigned *seen) noexcept nogil:
    cdef js_iter it
    cdef int more, field
    cdef const uint8_t *opened
    if js_document(s, &it) < 0:
        return -1
    opened = s.p - 1
    while True:
        more = js_member(s, &it)
        if more <= 0:
            break
        field = js_known(&it, ASK, ASK_FIELDS)
        if field < 0:
            if js_value(s) < 0:
                return -1
            continue
        s.name = ASK[field].name
        if seen[0] & (1u << field):
            return js_refuse(s, JS_DUPLICATE, it.key - 1)
        seen[0] |= 1u << field
        if scan_field(s, edits, request, field) < 0:
            return -1
    if more < 0:
        return -1
    js_put_slot(edits, s, s.p - 1, s.p - 1, SLOT_TAIL)
    if js_finish(s) < 0:
        return -1
    for field in range(ASK_REQUIRED):
        if not seen[0] & (1u << field):
            s.name = ASK[field].name
            return js_refuse(s, JS_MISSING, opened)
    return 0


@cython.final
cdef class ChatRequest:
    """The body of POST /v1/chat/completions, checked in one pass. Raises ScanError."""

    cdef bytes body
    cdef js_edits edits
    cdef unsigned seen
    cdef readonly str model
    cdef readonly bint stream
    cdef readonly bint include_usage
    cdef readonly bint has_stream_options
    cdef readonly Py_ssize_t messages

    def __cinit__(self, bytes body not None):
        cdef js_scan s
        cdef Request request = Request(NULL, 0, 0, False, False, False)
        js_edits_init(&self.edits)
        self.body = body
        begin(&s, body, JS_MAX_DEPTH)
        if scan_request(&s, &self.edits, &request, &self.seen) < 0:
            raise fault(&s)
        if self.edits.failed:
            raise MemoryError
        self.model = text_of(request.model, request.model_size)
        self.stream = request.stream
        self.include_usage = request.include_usage
        self.has_stream_options = request.has_options
        self.messages = request.messages

    def __dealloc__(self):
        js_edits_clear(&self.edits)

    def upstream_body(self, bytes model_json not None, bint stream):
        """The body for one upstream: its model name (as JSON, with quotes), an explicit `stream`, usage asked for when
        streaming without `stream_options`, and "" for content that is null or absent. All other bytes are the caller's.
        """
        cdef js_text[4] slots
        cdef bint ask = stream and not self.has_stream_options
        cdef bytes tail = b""
        if not self.seen & (1u << ASK_STREAM):
            tail = b',"stream":true' if stream else b',"stream":false'
        if ask and not self.seen & (1u << ASK_OPTIONS):
            tail = b',"stream":true,"stream_options":{"include_usage":true}' if tail else (
                b',"stream_options":{"include_usage":true}'
            )
        slots[SLOT_MODEL] = literal(model_json)
        slots[SLOT_STREAM] = literal(b"true" if stream else b"false")
        slots[SLOT_OPTIONS] = literal(b'{"include_usage":true}' if ask else b"null")
        slots[SLOT_TAIL] = literal(tail)
        return splice(&self.edits, self.body, slots)


# ---- answers ----

cdef struct Answer:
    const uint8_t *id
    size_t id_size
    const uint8_t *model
    size_t model_size
    js_text finish
    chat_counts usage


cdef int scan_first(js_scan *s, const chat_part *part, const uint8_t *message, int kind) noexcept nogil:
    """What the first choice must be: a message object with a string role; its content is text, parts or nothing."""
    s.name = b"message"
    if kind != JS_OBJECT:
        return js_refuse(s, JS_MISSING if kind == JS_ABSENT else JS_TYPE, message)
    s.name = b"message.role"
    if part.role != JS_STRING:
        return js_refuse(s, JS_MISSING, message) if part.role == JS_ABSENT else js_refuse(s, JS_TYPE, part.role_at)
    s.name = b"message.content"
    if part.content not in (JS_STRING, JS_ARRAY, JS_NULL, JS_ABSENT):
        return js_refuse(s, JS_TYPE, part.content_at)
    s.name = NULL
    return 0


cdef int scan_choice(js_scan *s, js_edits *edits, js_text *finish) noexcept nogil:  # NULL behind the first
    cdef js_iter it
    cdef chat_part part
    cdef const uint8_t *start
    cdef const uint8_t *message = s.p
    cdef int more, kind, message_kind = JS_ABSENT
    part.role = part.content = JS_ABSENT
    js_enter(s, &it)
    while True:
        more = js_member(s, &it)
        if more <= 0:
            break
        start = s.p
        if js_key_is(&it, b"message"):
            message = start
            message_kind = chat_scan_part(s, edits, &VENDOR_REASONING, &part, NULL) if s.p[0] == c"{" else js_value(s)
            if message_kind == JS_OBJECT and part.content == JS_ABSENT and part.role != JS_ABSENT:
                js_put(edits, s, s.p - 1, s.p - 1, b',"content":null')
        kind = message_kind if message == start else js_value(s)
        if kind < 0:
            return -1
        if finish != NULL and js_key_is(&it, b"finish_reason"):
            finish[0] = js_text(start + 1, s.p - start - 2 if kind == JS_STRING else 0)
            if kind == JS_NULL:
                js_put(edits, s, start, s.p, b'"stop"')
    if more < 0:
        return -1
    if finish != NULL:
        if scan_first(s, &part, message, message_kind) < 0:
            return -1
        if finish.text == NULL:
            js_put(edits, s, s.p - 1, s.p - 1, b',"finish_reason":"stop"')
    return JS_OBJECT


cdef int scan_choices(js_scan *s, js_edits *edits, js_text *finish) noexcept nogil:
    cdef js_iter it
    cdef const uint8_t *opened = s.p
    cdef const uint8_t *start
    cdef int more, kind
    js_enter(s, &it)
    s.list = b"choices"
    s.name = NULL
    while True:
        more = js_item(s, &it)
        if more <= 0:
            break
        s.index = it.count - 1
        start = s.p
        kind = scan_choice(s, edits, finish if it.count == 1 else NULL) if s.p[0] == c"{" else js_value(s)
        if kind < 0:
            return -1
        if kind != JS_OBJECT and it.count == 1:
            return js_refuse(s, JS_TYPE, start)
    if more < 0:
        return -1
    s.list = NULL
    if it.count == 0:
        js_put(
            edits, s, opened, s.p,
            b'[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"stop"}]',
        )
    return JS_ARRAY


cdef int scan_known(js_scan *s, js_edits *edits, Answer *answer, int field) noexcept nogil:
    """A known top-level member of an answer, checked and noted."""
    cdef const uint8_t *start = s.p
    cdef int kind
    if field == ANSWER_CHOICES and s.p[0] == c"[":
        answer.finish.text = NULL
        kind = scan_choices(s, edits, &answer.finish)
    elif field == ANSWER_USAGE and s.p[0] == c"{":
        kind = chat_usage(s, edits, &answer.usage)
    else:
        kind = js_value(s)
    if kind < 0:
        return -1
    s.name = ANSWER[field].name
    if not ANSWER[field].kinds & (1u << kind):
        return js_refuse(s, JS_TYPE, start)
    if field == ANSWER_ID:
        answer.id = start + 1
        answer.id_size = s.p - start - 2
    elif field == ANSWER_MODEL:
        answer.model = start + 1
        answer.model_size = s.p - start - 2
        js_put_slot(edits, s, start, s.p, SLOT_MODEL)
    elif field == ANSWER_USAGE and kind != JS_OBJECT:
        js_put(edits, s, start, s.p, CHAT_NO_USAGE)
    return 0


cdef int scan_answer(js_scan *s, js_edits *edits, Answer *answer) noexcept nogil:
    cdef js_iter it
    cdef int more, field
    cdef unsigned seen = 0
    cdef const uint8_t *opened
    if js_document(s, &it) < 0:
        return -1
    opened = s.p - 1
    while True:
        more = js_member(s, &it)
        if more <= 0:
            break
        field = js_known(&it, ANSWER, ANSWER_FIELDS)
        if field < 0:
            if js_value(s) < 0:
                return -1
            continue
        seen |= 1u << field
        if scan_known(s, edits, answer, field) < 0:
            return -1
    if more < 0:
        return -1
    if not seen & (1u << ANSWER_USAGE):
        js_put(edits, s, s.p - 1, s.p - 1, b',"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}')
    if js_finish(s) < 0:
        return -1
    for field in range(ANSWER_REQUIRED):
        if not seen & (1u << field):
            s.name = ANSWER[field].name
            return js_refuse(s, JS_MISSING, opened)
    return 0


@cython.final
cdef class ChatAnswer:
    """The body of an upstream's non-streaming chat answer, checked in one pass. Raises ScanError when not understood.

    Repeated keys are not refused here: the last one counts, as it does for whoever reads the answer. Counters are 0
    where the upstream sent none that is an integer in 0..2^53.
    """

    cdef bytes body
    cdef js_edits edits
    cdef readonly str id
    cdef readonly str model
    cdef readonly long long prompt_tokens
    cdef readonly long long completion_tokens
    cdef readonly long long total_tokens
    cdef readonly long long cached_tokens
    cdef readonly long long reasoning_tokens
    cdef js_text finish  # in the body

    def __cinit__(self, bytes body not None):
        cdef js_scan s
        cdef Answer answer = Answer(NULL, 0, NULL, 0, js_text(NULL, 0), chat_counts(0, 0, 0, 0, 0))
        js_edits_init(&self.edits)
        self.body = body
        begin(&s, body, JS_MAX_DEPTH)
        if scan_answer(&s, &self.edits, &answer) < 0:
            raise fault(&s)
        if self.edits.failed:
            raise MemoryError
        self.id = text_of(answer.id, answer.id_size)
        self.model = text_of(answer.model, answer.model_size)
        self.finish = answer.finish
        self.prompt_tokens = answer.usage.prompt
        self.completion_tokens = answer.usage.completion
        self.total_tokens = answer.usage.total
        self.cached_tokens = answer.usage.cached
        self.reasoning_tokens = answer.usage.reasoning

    def __dealloc__(self):
        js_edits_clear(&self.edits)

    @property
    def finish_reason(self):
        """Why the first choice ended, as the caller is told."""
        return text_of(self.finish.text, self.finish.size) if self.finish.size else "stop"

    def render(self, bytes model_json not None):
        """The answer for the caller under the given model name (as JSON, with quotes)."""
        cdef js_text[1] slots
        slots[SLOT_MODEL] = literal(model_json)
        return splice(&self.edits, self.body, slots)
