# Events of known protocols that bring nothing but a piece of text, or of a tool's input.
#
# Every function reads the value at the scanner's place. 1: it is such a piece, and `text` has it; 0: it is something
# else; -1: it is malformed.

from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcmp

from .scan cimport (
    JS_INT, JS_NULL, JS_STRING, js_document, js_enter, js_finish, js_item, js_iter, js_key_is, js_member, js_scan,
    js_value,
)


cdef struct Text:
    const uint8_t *at  # a JSON string with its quotes
    size_t size
    bint input         # of a tool, not text
    int index          # of the block or tool; -1: none is named


cdef inline const uint8_t *find(const uint8_t *p, const uint8_t *end, int byte) noexcept nogil:
    cdef const uint8_t *found = <const uint8_t *>memchr(p, byte, end - p) if p < end else NULL
    return found if found != NULL else end


cdef inline bint equals(const uint8_t *p, const uint8_t *end, const char *text, size_t size) noexcept nogil:
    return <size_t>(end - p) == size and memcmp(p, text, size) == 0


cdef inline bint canonical(const uint8_t *p, const uint8_t *end) noexcept nogil:
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


cdef inline int take_index(js_scan *s, Text *text) noexcept nogil:
    """A member's value as the index: one digit. Results as those of take_text."""
    cdef const uint8_t *start = s.p
    cdef int kind = js_value(s)
    if kind < 0:
        return -1
    if kind != JS_INT or s.p - start != 1 or text.index >= 0:
        return 0
    text.index = start[0] - c"0"
    return 1


cdef inline int take_text(js_scan *s, Text *text) noexcept nogil:
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


cdef inline int messages_delta(js_scan *s, Text *text) noexcept nogil:
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


cdef inline int messages_event(js_scan *s, Text *text) noexcept nogil:
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


cdef inline int responses_event(js_scan *s, Text *text) noexcept nogil:
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


cdef inline int chat_call(js_scan *s, Text *text) noexcept nogil:
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


cdef inline int chat_delta(js_scan *s, Text *text) noexcept nogil:
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


cdef inline int chat_choice(js_scan *s, Text *text) noexcept nogil:
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


cdef inline int chat_event(js_scan *s, Text *text) noexcept nogil:
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
