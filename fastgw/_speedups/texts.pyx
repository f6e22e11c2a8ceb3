# cython: autotestdict=False
"""What is seen of a document without building it: token arrays, the text of an answer, long numbers."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memset

from .scan cimport (
    CHAT_SAYS, JS_ABSENT, JS_ARRAY, JS_INT, JS_MAX_DEPTH, JS_STRING, chat_output, chat_output_clear, chat_output_copy,
    chat_part, chat_path, chat_say, chat_scan_part, js_document, js_edits, js_edits_clear, js_edits_init, js_enter,
    js_finish, js_item, js_iter, js_key_is, js_member, js_scan, js_start, js_value,
)

cdef extern from *:
    """
    static const js_text VENDOR_NAMES[1] = {{(const uint8_t *)"reasoning", 9}};
    static const chat_path VENDOR_REASONING = {VENDOR_NAMES, 1, 1};
    """
    const chat_path VENDOR_REASONING


cdef int scan_tokens(js_scan *s, Py_ssize_t *tokens) noexcept nogil:
    """The array at s.p, behind which nothing matters: 1 when it holds only strings, only integers, or only arrays of
    integers, 0 when it does not, -1 when it is malformed. Integers are counted."""
    cdef js_iter it, row
    cdef int more, inner, kind, first = JS_ABSENT
    js_enter(s, &it)
    while True:
        more = js_item(s, &it)
        if more <= 0:
            return 1 if more == 0 else -1
        if s.p[0] != c"[":
            kind = js_value(s)
        else:
            kind = JS_ARRAY
            js_enter(s, &row)
            while True:
                inner = js_item(s, &row)
                if inner <= 0:
                    break
                if s.p[0] == c"[":
                    return 0
                inner = js_value(s)
                if inner != JS_INT:
                    return 0 if inner > 0 else -1
            if inner < 0:
                return -1
            tokens[0] += row.count
        if kind < 0:
            return -1
        if first == JS_ABSENT:
            first = kind
        if kind != first or kind not in (JS_STRING, JS_INT, JS_ARRAY):
            return 0
        if kind == JS_INT:
            tokens[0] += 1


def token_array(bytes data not None, Py_ssize_t start, Py_ssize_t end):
    """How many integers the JSON array at start..end holds, in itself or in arrays in it; 0 for one of strings only.

    None for an array of anything else, mixed ones included. Raises ValueError when it is no array, IndexError when the
    span is not within the data.
    """
    cdef js_scan s
    cdef Py_ssize_t tokens = 0
    cdef int result = -1
    if not 0 <= start <= end <= PyBytes_GET_SIZE(data):
        raise IndexError("span outside of the data")
    js_start(&s, <const uint8_t *>PyBytes_AS_STRING(data) + start, end - start, JS_MAX_DEPTH)
    if start < end and s.p[0] == c"[":
        result = scan_tokens(&s, &tokens)
    if result < 0:
        raise ValueError("not a JSON array")
    return tokens if result else None


cdef int collect_choice(js_scan *s, js_edits *edits, chat_output *said) noexcept nogil:
    cdef js_iter it
    cdef chat_part part
    cdef const uint8_t *start
    cdef int more, kind
    js_enter(s, &it)
    while True:
        more = js_member(s, &it)
        if more <= 0:
            return more
        if s.p[0] == c"{" and js_key_is(&it, b"message"):
            if chat_scan_part(s, edits, &VENDOR_REASONING, &part, said) < 0:
                return -1
            continue
        start = s.p
        kind = js_value(s)
        if kind < 0:
            return -1
        if kind == JS_STRING and js_key_is(&it, b"text"):
            chat_say(said, CHAT_SAYS, start, s.p)


cdef int collect(js_scan *s, js_edits *edits, chat_output *said) noexcept nogil:
    cdef js_iter it, choices
    cdef int more, item
    if js_document(s, &it) < 0:
        return -1
    while True:
        more = js_member(s, &it)
        if more <= 0:
            return -1 if more < 0 else js_finish(s)
        if s.p[0] != c"[" or not js_key_is(&it, b"choices"):
            if js_value(s) < 0:
                return -1
            continue
        js_enter(s, &choices)
        while True:
            item = js_item(s, &choices)
            if item <= 0:
                break
            if (collect_choice(s, edits, said) if s.p[0] == c"{" else js_value(s)) < 0:
                return -1
        if item < 0:
            return -1


def answer_text(bytes body not None):
    """What a chat or text completion says, read without the GIL: content, reasoning, names and arguments of tools of
    all choices as one UTF-8 text of at most 1 MiB, and the bytes of it that were left out. Raises ValueError.
    """
    cdef js_scan s
    cdef js_edits edits
    cdef chat_output said
    cdef int result
    cdef bytes text
    memset(&said, 0, sizeof(said))
    js_edits_init(&edits)
    js_start(&s, <const uint8_t *>PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body), JS_MAX_DEPTH)
    try:
        with nogil:
            result = collect(&s, &edits, &said)
        if result < 0:
            raise ValueError("not a JSON object")
        text = PyBytes_FromStringAndSize(NULL, said.size)
        chat_output_copy(&said, <uint8_t *>PyBytes_AS_STRING(text))
        return text, said.beyond
    finally:
        js_edits_clear(&edits)
        chat_output_clear(&said)


cdef Py_ssize_t LONG = 19  # 10**18 has 19 digits; integers of more than 64 bits have no fewer


def long_digits(bytes data not None):
    """Whether as many digits as an integer of more than 64 bits has stand in a row anywhere, strings included.

    Looks at one byte of 19 where there are no digits.
    """
    cdef const uint8_t *base = <const uint8_t *>PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data), at = LONG - 1, first, after
    while at < size:
        if not c"0" <= base[at] <= c"9":
            at += LONG
            continue
        first = at
        while first > at - LONG + 1 and c"0" <= base[first - 1] <= c"9":
            first -= 1
        after = at + 1
        while after < size and after - first < LONG and c"0" <= base[after] <= c"9":
            after += 1
        if after - first == LONG:
            return True
        # The byte at `after` is no digit, or there is none.
        at = after + LONG
    return False
