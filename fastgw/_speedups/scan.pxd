"""Declarations of scan.h and chat.h for the modules that share them. There is no scan module at run time."""

from libc.stdint cimport int64_t, uint8_t


cdef extern from "scan.h" nogil:
    const int JS_MAX_DEPTH
    const int JS_ABSENT
    const int JS_NULL
    const int JS_FALSE
    const int JS_TRUE
    const int JS_INT
    const int JS_FLOAT
    const int JS_STRING
    const int JS_ARRAY
    const int JS_OBJECT
    const int JS_OK
    const int JS_SYNTAX
    const int JS_UTF8
    const int JS_DEPTH
    const int JS_MISSING
    const int JS_TYPE
    const int JS_DUPLICATE
    const int JS_EMPTY

    ctypedef struct js_scan:
        const uint8_t *base
        const uint8_t *p
        const uint8_t *end
        int reason
        const uint8_t *at
        const char *list
        Py_ssize_t index
        const char *name

    ctypedef struct js_iter:
        size_t count
        const uint8_t *sep
        const uint8_t *key
        size_t key_len
        int escaped

    ctypedef struct js_field:
        const char *name
        unsigned kinds

    void js_start(js_scan *s, const uint8_t *data, size_t size, int max_depth)
    int js_refuse(js_scan *s, int reason, const uint8_t *at)
    int js_value(js_scan *s)
    void js_enter(js_scan *s, js_iter *it)
    int js_item(js_scan *s, js_iter *it)
    int js_member(js_scan *s, js_iter *it)
    int js_document(js_scan *s, js_iter *it)
    int js_finish(js_scan *s)
    size_t js_decode(const uint8_t *text, size_t size, uint8_t *out)
    bint js_key_equals(const js_iter *it, const uint8_t *name, size_t size)
    bint js_key_is(const js_iter *it, const char *name)
    int js_known(const js_iter *it, const js_field *fields, int count)


cdef extern from "chat.h" nogil:
    const char *CHAT_NO_USAGE

    ctypedef struct js_text:
        const uint8_t *text
        size_t size

    ctypedef struct js_edits:
        size_t count
        int failed

    ctypedef struct chat_counts:
        int64_t prompt
        int64_t completion
        int64_t total
        int64_t cached
        int64_t reasoning

    ctypedef struct chat_path:
        const js_text *names
        size_t count
        int always

    ctypedef struct chat_part:
        int role
        int content
        const uint8_t *role_at
        const uint8_t *content_at
        int carries

    ctypedef struct chat_output:
        size_t size
        size_t beyond

    const int CHAT_SAYS

    void chat_output_clear(chat_output *o)
    void chat_output_mark(chat_output *o)
    void chat_output_undo(chat_output *o)
    uint8_t *chat_output_copy(const chat_output *o, uint8_t *to)
    void chat_say(chat_output *o, int part, const uint8_t *start, const uint8_t *end)
    void js_edits_init(js_edits *e)
    void js_edits_clear(js_edits *e)
    void js_put(js_edits *e, const js_scan *s, const uint8_t *start, const uint8_t *end, const char *literal)
    void js_put_slot(js_edits *e, const js_scan *s, const uint8_t *start, const uint8_t *end, size_t slot)
    void js_drop(js_edits *e, const js_scan *s, const uint8_t *sep, const uint8_t *end, size_t kept)
    size_t js_spliced_size(const js_edits *e, size_t size, const js_text *slots)
    uint8_t *js_splice(const js_edits *e, const uint8_t *base, size_t size, const js_text *slots, uint8_t *out)
    int chat_usage(js_scan *s, js_edits *e, chat_counts *counts)
    int chat_scan_part(js_scan *s, js_edits *e, const chat_path *path, chat_part *part, chat_output *o)
