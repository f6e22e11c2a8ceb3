/* A validating, single-pass JSON scanner (RFC 8259) over bytes that it never copies.
 *
 * It builds nothing: a caller walks the members it knows (js_enter, js_member, js_item) and lets js_value check and skip
 * the rest. Refused: anything RFC 8259 refuses, raw bytes that are not UTF-8 (RFC 3629), and nesting beyond max_depth.
 * A lone surrogate escape such as \ud83d is accepted, because clients that cut text between UTF-16 units send it.
 * Cost is linear in the input and nothing recurses. No function reads at or beyond `end`.
 */
#ifndef FASTGW_SCAN_H
#define FASTGW_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__) && !defined(FASTGW_PORTABLE_SCAN)
#include <emmintrin.h>
#endif

#define JS_MAX_DEPTH 128

enum { JS_ABSENT, JS_NULL, JS_FALSE, JS_TRUE, JS_INT, JS_FLOAT, JS_STRING, JS_ARRAY, JS_OBJECT };
enum { JS_OK, JS_SYNTAX, JS_UTF8, JS_DEPTH, JS_MISSING, JS_TYPE, JS_DUPLICATE, JS_EMPTY };

typedef struct {
    const uint8_t *base, *p, *end;
    int depth, max_depth;
    int reason;          /* JS_OK until the first fault */
    const uint8_t *at;   /* where that fault is */
    const char *list;    /* the known field at fault is list[index].name, list[index] or name */
    ptrdiff_t index;
    const char *name;
} js_scan;

typedef struct {
    size_t count;          /* members or items met so far */
    const uint8_t *sep;    /* the comma or opening bracket before the current one */
    const uint8_t *key;    /* the current key, between its quotes */
    size_t key_len;
    int escaped;           /* the key holds a backslash */
} js_iter;

static inline void js_start(js_scan *s, const uint8_t *data, size_t size, int max_depth)
{
    memset(s, 0, sizeof *s);
    s->base = s->p = s->at = data;
    s->end = data + size;
    s->max_depth = max_depth;
    s->index = -1;
}

static inline int js_refuse(js_scan *s, int reason, const uint8_t *at)
{
    s->reason = reason;
    s->at = at;
    return -1;
}

static inline void js_space(js_scan *s)
{
    while (s->p < s->end && *s->p <= ' ' && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
        s->p++;
}

/* One multi-byte sequence of RFC 3629 §4 (no overlong forms, no surrogates, nothing above U+10FFFF), or NULL. */
static inline const uint8_t *js_sequence(const uint8_t *p, const uint8_t *end)
{
    size_t left = (size_t)(end - p);
    uint8_t lead = p[0];
    if (lead < 0xC2 || lead > 0xF4 || left < 2 || (p[1] & 0xC0) != 0x80)
        return NULL;
    if (lead < 0xE0)
        return p + 2;
    if (left < 3 || (p[2] & 0xC0) != 0x80)
        return NULL;
    if (lead < 0xF0)
        return (lead == 0xE0 && p[1] < 0xA0) || (lead == 0xED && p[1] > 0x9F) ? NULL : p + 3;
    if (left < 4 || (p[3] & 0xC0) != 0x80)
        return NULL;
    return (lead == 0xF0 && p[1] < 0x90) || (lead == 0xF4 && p[1] > 0x8F) ? NULL : p + 4;
}

static const uint8_t js_simple_escape[256] = {
    ['"'] = 1, ['\\'] = 1, ['/'] = 1, ['b'] = 1, ['f'] = 1, ['n'] = 1, ['r'] = 1, ['t'] = 1,
};

#if defined(__SSE2__) && !defined(FASTGW_PORTABLE_SCAN)

/* Advances over string text in blocks of 16 bytes, escapes of one letter included (*escaped is set for them). Stops at a
 * quote, another escape or a control byte, at the start of a sequence that may be malformed, or when less than a block is
 * left; the caller looks at what is there byte by byte. UTF-8 is checked on bit masks: where continuation bytes are
 * wanted (after leads) must be exactly where they are. */
static inline const uint8_t *js_blocks(const uint8_t *p, const uint8_t *end, int *escaped)
{
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), control = _mm_set1_epi8(0x1F);
    unsigned want = 0;              /* continuation bytes wanted at the start of the next block */
    unsigned e0 = 0, ed = 0, f0 = 0, f4 = 0;  /* bit 0: the byte before this block is such a lead */
    while (end - p >= 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)p);
        __m128i stops = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, backslash)),
                                     _mm_cmpeq_epi8(_mm_min_epu8(v, control), v));
        unsigned stop = (unsigned)_mm_movemask_epi8(stops), high = (unsigned)_mm_movemask_epi8(v);
        while (stop) {
            int k = __builtin_ctz(stop);
            if (p[k] != '\\' || k == 15 || !js_simple_escape[p[k + 1]])
                break;
            *escaped = 1;
            stop &= ~(3u << k);
        }
        if (high | want) {
            /* Signed comparisons: 0x80..0xBF is below -64, and bytes from 0xE0 on are above -33 among the high ones. */
            unsigned here = stop ? (stop & (0u - stop)) * 2 - 1 : 0xFFFF;
            unsigned tail = (unsigned)_mm_movemask_epi8(_mm_cmplt_epi8(v, _mm_set1_epi8(-64)));
            unsigned three = high & (unsigned)_mm_movemask_epi8(_mm_cmpgt_epi8(v, _mm_set1_epi8(-33)));
            unsigned four = high & (unsigned)_mm_movemask_epi8(_mm_cmpgt_epi8(v, _mm_set1_epi8(-17)));
            unsigned bad = high & (unsigned)_mm_movemask_epi8(_mm_cmpgt_epi8(v, _mm_set1_epi8(-12)));
            unsigned wanted = want | (high & ~tail) << 1 | three << 2 | four << 3;
            bad |= (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_and_si128(v, _mm_set1_epi8(-2)), _mm_set1_epi8(-64)));
            bad |= wanted ^ tail;
            e0 |= (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8(-32))) << 1;
            ed |= (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8(-19))) << 1;
            f0 |= (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8(-16))) << 1;
            f4 |= (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8(-12))) << 1;
            if (e0 | ed | f0 | f4) {
                unsigned low_a0 = (unsigned)_mm_movemask_epi8(_mm_cmplt_epi8(v, _mm_set1_epi8(-96)));
                unsigned low_90 = (unsigned)_mm_movemask_epi8(_mm_cmplt_epi8(v, _mm_set1_epi8(-112)));
                bad |= (e0 & low_a0) | (ed & ~low_a0) | (f0 & low_90) | (f4 & ~low_90);
            }
            if (bad & here)
                break;
            want = wanted >> 16;
            e0 >>= 16, ed >>= 16, f0 >>= 16, f4 >>= 16;
        }
        if (stop)
            return p + __builtin_ctz(stop);
        p += 16;
    }
    if (want) /* the last sequence is incomplete up to here: back to its lead, at most three bytes */
        do
            p--;
        while ((*p & 0xC0) == 0x80);
    return p;
}

#else

/* The same in words of 8 bytes, for plain ASCII without escapes. */
static inline const uint8_t *js_blocks(const uint8_t *p, const uint8_t *end, int *escaped)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    while (end - p >= 8) {
        uint64_t w, quote, backslash;
        memcpy(&w, p, 8);
        quote = w ^ (ones * '"');
        backslash = w ^ (ones * '\\');
        if ((w | (w - ones * 0x20) | (quote - ones) | (backslash - ones)) & tops)
            break;
        p += 8;
    }
    return p;
}

#endif

static inline int js_hex(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The UTF-16 unit of four hex digits, or -1. */
static inline int js_unit(const uint8_t *p, const uint8_t *end)
{
    int value = 0, i, digit;
    if (end - p < 4)
        return -1;
    for (i = 0; i < 4; i++) {
        if ((digit = js_hex(p[i])) < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* The string at s->p, which is its opening quote. Returns 1, 2 when it holds an escape, -1 when malformed. */
static inline int js_string(js_scan *s)
{
    const uint8_t *p = s->p + 1, *end = s->end, *next;
    int escaped = 0;
    for (;;) {
        p = js_blocks(p, end, &escaped);
        if (p == end)
            return js_refuse(s, JS_SYNTAX, p);
        if (*p == '"') {
            s->p = p + 1;
            return 1 + escaped;
        }
        if (*p == '\\') {
            escaped = 1;
            if (end - p < 2)
                return js_refuse(s, JS_SYNTAX, p);
            if (js_simple_escape[p[1]]) {
                p += 2;
                continue;
            }
            if (p[1] != 'u' || js_unit(p + 2, end) < 0)
                return js_refuse(s, JS_SYNTAX, p);
            p += 6;
            continue;
        }
        if (*p < 0x20)
            return js_refuse(s, JS_SYNTAX, p);
        if (*p < 0x80) {
            p++;
            continue;
        }
        do {
            if (!(next = js_sequence(p, end)))
                return js_refuse(s, JS_UTF8, p);
            p = next;
        } while (p < end && *p >= 0x80);
    }
}

static inline int js_number(js_scan *s)
{
    const uint8_t *p = s->p, *end = s->end, *digits;
    int kind = JS_INT;
    if (*p == '-')
        p++;
    digits = p;
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    if (p == digits || (*digits == '0' && p - digits > 1))
        return js_refuse(s, JS_SYNTAX, digits);
    if (p < end && *p == '.') {
        kind = JS_FLOAT;
        digits = ++p;
        while (p < end && *p >= '0' && *p <= '9')
            p++;
        if (p == digits)
            return js_refuse(s, JS_SYNTAX, p);
    }
    if (p < end && (*p | 0x20) == 'e') {
        kind = JS_FLOAT;
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        digits = p;
        while (p < end && *p >= '0' && *p <= '9')
            p++;
        if (p == digits)
            return js_refuse(s, JS_SYNTAX, p);
    }
    s->p = p;
    return kind;
}

static inline int js_literal(js_scan *s, const char *word, size_t size, int kind)
{
    if ((size_t)(s->end - s->p) < size || memcmp(s->p, word, size))
        return js_refuse(s, JS_SYNTAX, s->p);
    s->p += size;
    return kind;
}

/* A string, number or word at s->p < s->end. */
static inline int js_scalar(js_scan *s)
{
    switch (*s->p) {
    case '"':
        return js_string(s) < 0 ? -1 : JS_STRING;
    case 'n':
        return js_literal(s, "null", 4, JS_NULL);
    case 't':
        return js_literal(s, "true", 4, JS_TRUE);
    case 'f':
        return js_literal(s, "false", 5, JS_FALSE);
    default:
        return js_number(s);
    }
}

/* Checks and skips the value at s->p and returns its kind, or -1. Open brackets are kept on a fixed stack. */
static int js_value(js_scan *s)
{
    uint8_t open[JS_MAX_DEPTH];
    int top = 0, kind = JS_ABSENT, latest;
    uint8_t c;
value:
    js_space(s);
    if (s->p == s->end)
        return js_refuse(s, JS_SYNTAX, s->p);
    c = *s->p;
    if (c == '{' || c == '[') {
        if (s->depth + top >= s->max_depth)
            return js_refuse(s, JS_DEPTH, s->p);
        if (kind == JS_ABSENT)
            kind = c == '{' ? JS_OBJECT : JS_ARRAY;
        open[top++] = c;
        s->p++;
        js_space(s);
        if (s->p == s->end)
            return js_refuse(s, JS_SYNTAX, s->p);
        if (*s->p == c + 2) /* '}' is '{' + 2 and ']' is '[' + 2 in ASCII */
            goto after;
        if (c == '{')
            goto key;
        goto value;
    }
    if ((latest = js_scalar(s)) < 0)
        return -1;
    if (top == 0)
        return latest;
after:
    js_space(s);
    if (s->p == s->end)
        return js_refuse(s, JS_SYNTAX, s->p);
    if (*s->p == open[top - 1] + 2) {
        s->p++;
        if (--top == 0)
            return kind;
        goto after;
    }
    if (*s->p != ',')
        return js_refuse(s, JS_SYNTAX, s->p);
    s->p++;
    if (open[top - 1] == '[')
        goto value;
    js_space(s);
key:
    if (s->p == s->end || *s->p != '"')
        return js_refuse(s, JS_SYNTAX, s->p);
    if (js_string(s) < 0)
        return -1;
    js_space(s);
    if (s->p == s->end || *s->p != ':')
        return js_refuse(s, JS_SYNTAX, s->p);
    s->p++;
    goto value;
}

/* Steps into the object or array at s->p. Depth is checked by js_value: callers step into what they know, a few levels. */
static inline void js_enter(js_scan *s, js_iter *it)
{
    s->depth++;
    it->count = 0;
    it->sep = s->p++;
}

/* 1: there is another element and s->p < s->end is at it; 0: the bracket is closed and consumed; -1: malformed. */
static inline int js_next(js_scan *s, js_iter *it, uint8_t close)
{
    js_space(s);
    if (s->p == s->end)
        return js_refuse(s, JS_SYNTAX, s->p);
    if (*s->p == close) {
        s->p++;
        s->depth--;
        return 0;
    }
    if (it->count++) {
        if (*s->p != ',')
            return js_refuse(s, JS_SYNTAX, s->p);
        it->sep = s->p++;
        js_space(s);
        if (s->p == s->end)
            return js_refuse(s, JS_SYNTAX, s->p);
    }
    return 1;
}

static inline int js_item(js_scan *s, js_iter *it)
{
    return js_next(s, it, ']');
}

/* As js_next, with it->key filled in and s->p at the member's value. */
static inline int js_member(js_scan *s, js_iter *it)
{
    int more = js_next(s, it, '}');
    if (more <= 0)
        return more;
    if (*s->p != '"')
        return js_refuse(s, JS_SYNTAX, s->p);
    it->key = s->p + 1;
    if ((it->escaped = js_string(s)) < 0)
        return -1;
    it->escaped--;
    it->key_len = (size_t)(s->p - it->key) - 1;
    js_space(s);
    if (s->p == s->end || *s->p != ':')
        return js_refuse(s, JS_SYNTAX, s->p);
    s->p++;
    js_space(s);
    return s->p == s->end ? js_refuse(s, JS_SYNTAX, s->p) : 1;
}

/* Steps into the document, which must be an object; js_finish checks what follows it. */
static inline int js_document(js_scan *s, js_iter *it)
{
    js_space(s);
    if (s->p == s->end)
        return js_refuse(s, JS_EMPTY, s->p);
    if (*s->p == '{') {
        js_enter(s, it);
        return 0;
    }
    if (js_value(s) < 0)
        return -1;
    js_space(s);
    return s->p == s->end ? js_refuse(s, JS_TYPE, s->base) : js_refuse(s, JS_SYNTAX, s->p);
}

static inline int js_finish(js_scan *s)
{
    js_space(s);
    return s->p == s->end ? 0 : js_refuse(s, JS_SYNTAX, s->p);
}

/* The next character of checked string text as UTF-8 in out; returns its size. A lone surrogate escape becomes U+FFFD,
 * so that decoded text can always be encoded again. The result is never longer than what it was written as. */
static inline size_t js_character(const uint8_t **text, const uint8_t *end, uint8_t out[4])
{
    const uint8_t *p = *text;
    uint32_t code;
    int low;
    if (*p != '\\') {
        out[0] = *p;
        *text = p + 1;
        return 1;
    }
    *text = p + 2;
    switch (p[1]) {
    case 'b': out[0] = '\b'; return 1;
    case 'f': out[0] = '\f'; return 1;
    case 'n': out[0] = '\n'; return 1;
    case 'r': out[0] = '\r'; return 1;
    case 't': out[0] = '\t'; return 1;
    case 'u': break;
    default: out[0] = p[1]; return 1;
    }
    code = (uint32_t)js_unit(p + 2, end);
    p += 6;
    if (code >= 0xD800 && code < 0xE000) {
        low = code < 0xDC00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u' ? js_unit(p + 2, end) : -1;
        if (low >= 0xDC00 && low < 0xE000) {
            code = 0x10000 + ((code - 0xD800) << 10) + ((uint32_t)low - 0xDC00);
            p += 6;
        } else {
            code = 0xFFFD;
        }
    }
    *text = p;
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (uint8_t)(0xC0 | code >> 6);
        out[1] = (uint8_t)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (uint8_t)(0xE0 | code >> 12);
        out[1] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | code >> 18);
    out[1] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (code & 0x3F));
    return 4;
}

/* Decodes checked string text (without its quotes) into out, which has room for size bytes; returns the bytes used. */
static inline size_t js_decode(const uint8_t *text, size_t size, uint8_t *out)
{
    const uint8_t *end = text + size;
    size_t used = 0;
    uint8_t one[4];
    while (text < end) {
        size_t n = js_character(&text, end, one);
        memcpy(out + used, one, n);
        used += n;
    }
    return used;
}

/* Whether the current key, which has escapes, is name when decoded. Hardly any key has. */
static __attribute__((noinline)) int js_key_decodes_to(const js_iter *it, const uint8_t *name, size_t size)
{
    const uint8_t *p = it->key, *end = it->key + it->key_len;
    uint8_t one[4];
    while (p < end) {
        size_t n = js_character(&p, end, one);
        if (n > size || memcmp(one, name, n))
            return 0;
        name += n;
        size -= n;
    }
    return size == 0;
}

/* Whether the current key, decoded, is name. Inlined everywhere: with a name of known size it is a few comparisons. */
static inline __attribute__((always_inline)) int js_key_equals(const js_iter *it, const uint8_t *name, size_t size)
{
    if (__builtin_expect(it->escaped, 0))
        return js_key_decodes_to(it, name, size);
    return it->key_len == size && !memcmp(it->key, name, size);
}

static inline __attribute__((always_inline)) int js_key_is(const js_iter *it, const char *name)
{
    return js_key_equals(it, (const uint8_t *)name, strlen(name));
}

typedef struct {
    const char *name;
    unsigned kinds; /* bit 1 << JS_kind for each kind that the field may have */
} js_field;

/* Index of the current key in fields, or -1. */
static inline int js_known(const js_iter *it, const js_field *fields, int count)
{
    int i;
    for (i = 0; i < count; i++)
        if (js_key_is(it, fields[i].name))
            return i;
    return -1;
}

#endif
