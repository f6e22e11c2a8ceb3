/* Splits text into the pieces that byte-pair encoding works on, as the published patterns of each vocabulary do.
 *
 * A pattern is a list of alternatives of which the first that matches wins; each function below decides by the first
 * one or two characters which alternative that is. Input is valid UTF-8 that starts and ends between characters. No
 * function reads at or beyond `end`. Cost is linear in the text, because what one call looks at beyond its piece (the
 * rest of a run of white space, or of capitals) belongs to the next one or two pieces.
 */
#ifndef FASTGW_PRETOKEN_H
#define FASTGW_PRETOKEN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "uniclass.h"

#if defined(__SSE2__) && !defined(FASTGW_PORTABLE_SCAN)
#include <emmintrin.h>
#define PT_SSE2 1
#endif

enum { PT_CL100K = 1, PT_O200K, PT_P50K };

/* No piece depends on more than this many bytes beyond the furthest place that its own search has reached: a contraction
 * or one character. */
#define PT_LOOK 8

#define PT_IS(class, ...) (((1u << (class)) & (__VA_ARGS__)) != 0)
#define PT_BIT(name) (1u << UC_##name)
#define PT_WORD (PT_BIT(LOWER) | PT_BIT(UPPER) | PT_BIT(LETTER))
#define PT_BLANK (PT_BIT(SPACE) | PT_BIT(NEWLINE))
#define PT_SIGN (PT_BIT(OTHER) | PT_BIT(MARK)) /* [^\s\p{L}\p{N}] */
#define PT_HIGH (PT_BIT(UPPER) | PT_BIT(LETTER) | PT_BIT(MARK))
#define PT_LOW (PT_BIT(LOWER) | PT_BIT(LETTER) | PT_BIT(MARK))

#define PT__ UC_OTHER
#define PT_L UC_LOWER
#define PT_U UC_UPPER
#define PT_N UC_NUMBER
#define PT_S UC_SPACE
#define PT_R UC_NEWLINE
static const uint8_t PT_ASCII[128] = {
    PT__, PT__, PT__, PT__, PT__, PT__, PT__, PT__, PT__, PT_S, PT_R, PT_S, PT_S, PT_R, PT__, PT__,
    PT__, PT__, PT__, PT__, PT__, PT__, PT__, PT__, PT__, PT__, PT__, PT__, PT__, PT__, PT__, PT__,
    PT_S, PT__, PT__, PT__, PT__, PT__, PT__, PT__, PT__, PT__, PT__, PT__, PT__, PT__, PT__, PT__,
    PT_N, PT_N, PT_N, PT_N, PT_N, PT_N, PT_N, PT_N, PT_N, PT_N, PT__, PT__, PT__, PT__, PT__, PT__,
    PT__, PT_U, PT_U, PT_U, PT_U, PT_U, PT_U, PT_U, PT_U, PT_U, PT_U, PT_U, PT_U, PT_U, PT_U, PT_U,
    PT_U, PT_U, PT_U, PT_U, PT_U, PT_U, PT_U, PT_U, PT_U, PT_U, PT_U, PT__, PT__, PT__, PT__, PT__,
    PT__, PT_L, PT_L, PT_L, PT_L, PT_L, PT_L, PT_L, PT_L, PT_L, PT_L, PT_L, PT_L, PT_L, PT_L, PT_L,
    PT_L, PT_L, PT_L, PT_L, PT_L, PT_L, PT_L, PT_L, PT_L, PT_L, PT_L, PT__, PT__, PT__, PT__, PT__,
};
#undef PT__
#undef PT_L
#undef PT_U
#undef PT_N
#undef PT_S
#undef PT_R

/* Class and byte length of the character at p. */
static inline unsigned pt_class(const uint8_t *p, unsigned *size)
{
    uint32_t lead = p[0], point;
    if (lead < 0x80) {
        *size = 1;
        return PT_ASCII[lead];
    }
    if (lead < 0xE0) {
        *size = 2;
        point = (lead & 31) << 6 | (p[1] & 63u);
    } else if (lead < 0xF0) {
        *size = 3;
        point = (lead & 15) << 12 | (p[1] & 63u) << 6 | (p[2] & 63u);
        if (point - 0x4E00 < 0x5200) /* the unified ideographs, all of them Lo */
            return UC_LETTER;
    } else {
        *size = 4;
        point = (lead & 7) << 18 | (p[1] & 63u) << 12 | (p[2] & 63u) << 6 | (p[3] & 63u);
    }
    return uc_class(point);
}

/* The end of the run of characters of the classes `set` that starts at p. */
static inline const uint8_t *pt_run(const uint8_t *p, const uint8_t *end, unsigned set)
{
    unsigned size;
    while (p < end && PT_IS(pt_class(p, &size), set))
        p += size;
    return p;
}

/* \p{L}++ */
static inline const uint8_t *pt_letters(const uint8_t *p, const uint8_t *end)
{
#ifdef PT_SSE2
    while (end - p >= 16) {
        __m128i bytes = _mm_or_si128(_mm_loadu_si128((const __m128i *)p), _mm_set1_epi8(0x20));
        __m128i letters = _mm_and_si128(_mm_cmpgt_epi8(bytes, _mm_set1_epi8('a' - 1)),
                                        _mm_cmplt_epi8(bytes, _mm_set1_epi8('z' + 1)));
        unsigned others = ~(unsigned)_mm_movemask_epi8(letters) & 0xFFFF;
        if (others) {
            p += __builtin_ctz(others);
            if (*p < 0x80)
                return p;
            break;
        }
        p += 16;
    }
#endif
    return pt_run(p, end, PT_WORD);
}

/* \p{N}{1,3} */
static inline const uint8_t *pt_digits(const uint8_t *p, const uint8_t *end)
{
    unsigned size;
    for (int i = 0; i < 3 && p < end && PT_IS(pt_class(p, &size), PT_BIT(NUMBER)); i++)
        p += size;
    return p;
}

/* The end of an English contraction at p, or NULL. With `fold` in any case: Unicode folds U+017F to s. */
static inline const uint8_t *pt_contraction(const uint8_t *p, const uint8_t *end, int fold)
{
    unsigned a, b;
    if (end - p < 2 || p[0] != '\'')
        return NULL;
    a = fold && p[1] < 0x80 ? p[1] | 0x20u : p[1];
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return p + 2;
    if (end - p < 3)
        return NULL;
    b = fold && p[2] < 0x80 ? p[2] | 0x20u : p[2];
    if ((a == 'l' && b == 'l') || (a == 'v' && b == 'e') || (a == 'r' && b == 'e'))
        return p + 3;
    return fold && a == 0xC5 && b == 0xBF ? p + 3 : NULL;
}

/* White space at p, of which no earlier alternative made a piece. `lines`: a line end ends a piece. `whole`: what ends
 * the text is one piece even so. `*reach` becomes the end of the run. */
static inline const uint8_t *pt_blank(const uint8_t *p, const uint8_t *end, int lines, int whole, const uint8_t **reach)
{
    const uint8_t *start = p, *line = NULL, *last = p;
    unsigned size, class;
    while (p < end && PT_IS(class = pt_class(p, &size), PT_BLANK)) {
        last = p;
        p += size;
        if (class == UC_NEWLINE)
            line = p;
    }
    *reach = p;
    if (whole && p == end)
        return p;
    if (lines && line)
        return line;
    return p == end || last == start ? p : last; /* the last one goes with what follows */
}

static inline const uint8_t *pt_cl100k(const uint8_t *p, const uint8_t *end, const uint8_t **reach)
{
    const uint8_t *next;
    unsigned size, more, class = pt_class(p, &size), follows = UC_NEWLINE;
    if (PT_IS(class, PT_WORD))
        return pt_letters(p + size, end);
    if (class == UC_NUMBER)
        return pt_digits(p, end);
    if (*p == '\'' && (next = pt_contraction(p, end, 1)))
        return next;
    next = p + size;
    if (next < end)
        follows = pt_class(next, &more);
    if (class != UC_NEWLINE && PT_IS(follows, PT_WORD))
        return pt_letters(next, end);
    if (PT_IS(class, PT_SIGN) || (*p == ' ' && PT_IS(follows, PT_SIGN)))
        return pt_run(pt_run(next, end, PT_SIGN), end, PT_BIT(NEWLINE));
    return pt_blank(p, end, 1, 1, reach);
}

static inline const uint8_t *pt_p50k(const uint8_t *p, const uint8_t *end, const uint8_t **reach)
{
    const uint8_t *next = p;
    unsigned size, class = pt_class(p, &size);
    if (*p == '\'' && (next = pt_contraction(p, end, 0)))
        return next;
    next = p;
    if (*p == ' ' && end - p > 1)
        class = pt_class(++next, &size);
    if (PT_IS(class, PT_WORD))
        return pt_letters(next, end);
    if (class == UC_NUMBER)
        return pt_run(next, end, PT_BIT(NUMBER));
    if (PT_IS(class, PT_SIGN))
        return pt_run(next, end, PT_SIGN);
    return pt_blank(p, end, 0, 1, reach);
}

/* The first alternative of o200k from behind its optional first character: as many capitals as leave one character of
 * [\p{Ll}\p{Lm}\p{Lo}\p{M}], then all of those. NULL when there is none; `*reach` becomes the end of the capitals. */
static inline const uint8_t *pt_cased(const uint8_t *p, const uint8_t *end, const uint8_t **reach)
{
    const uint8_t *both = NULL; /* behind the last character that is in either class */
    unsigned size, class;
#ifdef PT_SSE2
    if (end - p >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)p), folded = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
        __m128i letters = _mm_and_si128(_mm_cmpgt_epi8(folded, _mm_set1_epi8('a' - 1)),
                                        _mm_cmplt_epi8(folded, _mm_set1_epi8('z' + 1)));
        unsigned low = (unsigned)_mm_movemask_epi8(_mm_and_si128(letters, _mm_cmpeq_epi8(bytes, folded)));
        unsigned high = (unsigned)_mm_movemask_epi8(letters) & ~low;
        unsigned capitals = (unsigned)__builtin_ctz(~high), small = (unsigned)__builtin_ctz(~(low >> capitals));
        if (small && capitals + small < 16 && p[capitals + small] < 0x80)
            return p + capitals + small;
    }
#endif
    for (; p < end && PT_IS(class = pt_class(p, &size), PT_HIGH); p += size)
        if (class != UC_UPPER)
            both = p + size;
    *reach = p;
    if (p < end && PT_IS(pt_class(p, &size), PT_BIT(LOWER)))
        return pt_run(p, end, PT_LOW);
    return both;
}

static inline const uint8_t *pt_o200k(const uint8_t *p, const uint8_t *end, const uint8_t **reach)
{
    const uint8_t *next, *word = NULL, *after;
    unsigned size, more, class = pt_class(p, &size), follows = UC_NEWLINE;
    if (class == UC_NUMBER)
        return pt_digits(p, end);
    next = p + size;
    if (!PT_IS(class, PT_WORD) && next < end)
        follows = pt_class(next, &more);
    if (class != UC_NEWLINE && PT_IS(follows, PT_WORD | PT_BIT(MARK)) && !(word = pt_cased(next, end, reach)))
        word = class == UC_MARK ? next : *reach; /* without the mark as first character; else all capitals */
    else if (!word && PT_IS(class, PT_WORD | PT_BIT(MARK)) && !(word = pt_cased(p, end, reach)))
        word = *reach;
    if (word)
        return (after = pt_contraction(word, end, 1)) ? after : word;
    if (PT_IS(class, PT_SIGN) || (*p == ' ' && PT_IS(follows, PT_SIGN))) {
        next = pt_run(next, end, PT_SIGN);
        while (next < end && (*next == '\r' || *next == '\n' || *next == '/'))
            next++;
        return next;
    }
    return pt_blank(p, end, 1, 0, reach);
}

/* The end of the piece that starts at p < end, as if the text ended at `end`; right for any longer text too when PT_LOOK
 * bytes follow both the piece and `*reach`. */
static inline __attribute__((always_inline)) const uint8_t *pt_piece(int kind, const uint8_t *p, const uint8_t *end,
                                                                     const uint8_t **reach)
{
    *reach = p;
    if (kind == PT_CL100K)
        return pt_cl100k(p, end, reach);
    return kind == PT_O200K ? pt_o200k(p, end, reach) : pt_p50k(p, end, reach);
}

#endif
