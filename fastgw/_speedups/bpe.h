/* Counts the tokens that byte-pair encoding makes of a text, without making them.
 *
 * Encoding a piece: start with its bytes; as long as two neighbours together are a token, merge those with the lowest rank,
 * the leftmost first. The results here are those of that procedure, always. Two facts shorten the way:
 *
 * 1. Any stretch between two tokens of an encoding is encoded as it would be alone, since no merge ever crossed its
 *    borders.
 * 2. A list of tokens is the encoding of its bytes if every two neighbours are the encoding of theirs: the first merge
 *    that crossed a border would have been made between these two alone as well.
 *
 * By 2, encodings of two overlapping windows of a long piece that have one token in common join there into the encoding of
 * both: so a piece of any length is encoded in windows, in linear time and constant memory.
 */
#ifndef FASTGW_BPE_H
#define FASTGW_BPE_H

#include "bpe_image.h"
#include "pretoken.h"

#define BPE_SMALL 120   /* bytes that are encoded with a plain search for the lowest rank */
#define BPE_WINDOW 2048 /* of longer pieces; must hold several times the longest token */
#define BPE_FAN 16

typedef struct {
    size_t count;
    size_t pos;          /* all before is counted */
    size_t piece_end;    /* > pos in the middle of a long piece */
    size_t part_end;     /* > pos in the middle of a part of one that is encoded in windows */
    size_t part, part_count, window, expect; /* where that part began; the end of the token that the windows share */
    size_t wait;         /* the last piece needs text up to here before another look pays */
    uint32_t *work;      /* of `room` bytes' window, or NULL */
    size_t room;
} bpe_state;

/* The least of n ranks, n even. A few are compared one by one, because some were stored a moment ago: a vector load that
 * spans such stores waits until they have left the store buffer. */
static inline int32_t bpe_least(const int32_t *rank, size_t n)
{
    int32_t low = INT32_MAX, other = INT32_MAX;
    if (n > 20) {
        for (size_t i = 0; i < n; i++)
            low = rank[i] < low ? rank[i] : low;
        return low;
    }
    for (size_t i = 0; i < n; i += 2) {
        int32_t one = rank[i], two = rank[i + 1];
        __asm__("" : "+r"(one), "+r"(two)); /* not to be vectorized */
        low = one < low ? one : low;
        other = two < other ? two : other;
    }
    return low < other ? low : other;
}

/* Tokens of 1 <= n <= BPE_SMALL bytes. Starts from whole characters where it makes no difference (bpe_image.h), else from
 * bytes. Each search for the lowest rank looks at all of them. */
static inline size_t bpe_small(const bpe_table *t, const uint8_t *p, size_t n)
{
    int32_t rank[128]; /* of the merge with the next token, above the index of the first of both */
    uint32_t id[128], merged; /* with BPE_NOTHING at both ends */
    uint8_t next[128], previous[128];
    size_t count = 0, padded;
    id[0] = BPE_NOTHING;
    for (size_t at = 0, width; at < n; at += width) {
        uint32_t whole = 0;
        width = bpe_width(p[at]);
        if (width > n - at) /* never in valid text */
            width = 1;
        if ((width == 2 || width == 3) && !(at && bpe_is_rough(t, p[at - 1], p[at]))
            && !(at + width < n && bpe_is_rough(t, p[at + width - 1], p[at + width])))
            whole = t->char_id[bpe_point(p + at, width)];
        if (whole)
            id[++count] = whole;
        else
            for (size_t i = 0; i < width; i++)
                id[++count] = t->byte_id[p[at + i]];
    }
    id[count + 1] = BPE_NOTHING;
    padded = (count + 4) & ~(size_t)3;
    rank[0] = INT32_MAX;
    for (size_t i = 1; i <= count; i++) {
        merged = i < count ? bpe_pair(t, id[i], id[i + 1]) : 0;
        rank[i] = merged ? (int32_t)(merged << 7 | i) : INT32_MAX;
        next[i] = (uint8_t)(i + 1);
        previous[i] = (uint8_t)(i - 1);
    }
    for (size_t i = count + 1; i < padded; i++)
        rank[i] = INT32_MAX;
    for (;;) {
        int32_t low = bpe_least(rank, padded);
        size_t at, gone, after, before;
        if (low == INT32_MAX)
            return count;
        count--;
        at = (size_t)low & 127;
        gone = next[at];
        after = next[gone];
        before = previous[at];
        id[at] = (uint32_t)low >> 7;
        next[at] = (uint8_t)after;
        previous[after] = (uint8_t)at;
        rank[gone] = INT32_MAX;
        merged = bpe_pair(t, id[at], id[after]);
        rank[at] = merged ? (int32_t)(merged << 7 | at) : INT32_MAX;
        merged = bpe_pair(t, id[before], id[at]);
        rank[before] = merged ? (int32_t)(merged << 7 | before) : INT32_MAX;
    }
}

/* The ranks of a window under a tree of minima with BPE_FAN children per node; level 0 are the ranks. */
typedef struct {
    int32_t *level[8];
    int top;
} bpe_tree;

static inline size_t bpe_padded(size_t n)
{
    return (n + BPE_FAN - 1) / BPE_FAN * BPE_FAN;
}

static inline int32_t bpe_lowest(const int32_t *of)
{
    int32_t low = INT32_MAX;
    for (int i = 0; i < BPE_FAN; i++)
        low = of[i] < low ? of[i] : low;
    return low;
}

static inline void bpe_lift(bpe_tree *tree, size_t at)
{
    for (int level = 0; level < tree->top; level++) {
        int32_t low = bpe_lowest(tree->level[level] + at / BPE_FAN * BPE_FAN);
        at /= BPE_FAN;
        if (tree->level[level + 1][at] == low)
            return;
        tree->level[level + 1][at] = low;
    }
}

/* Encodes the n bytes at p. `work` holds 5 n + 8 * BPE_FAN words; the result is its first n words: at the start of each
 * token the index of the next one. O(n log n). */
static inline void bpe_large(const bpe_table *t, const uint8_t *p, size_t n, uint32_t *work)
{
    uint32_t *next = work, *previous = work + n, *id = work + 2 * n;
    int32_t *rank = (int32_t *)(work + 3 * n), *room = rank + bpe_padded(n);
    bpe_tree tree = {{rank}, 0};
    for (size_t i = 0; i < n; i++) {
        uint32_t merged = i + 1 < n ? bpe_pair(t, t->byte_id[p[i]], t->byte_id[p[i + 1]]) : 0;
        rank[i] = merged ? (int32_t)merged : INT32_MAX;
        id[i] = t->byte_id[p[i]];
        next[i] = (uint32_t)i + 1;
        previous[i] = (uint32_t)i - 1;
    }
    for (size_t size = n;;) {
        int32_t *level = tree.level[tree.top];
        for (size_t i = size; i < bpe_padded(size); i++)
            level[i] = INT32_MAX;
        if (size <= BPE_FAN)
            break;
        size = bpe_padded(size) / BPE_FAN;
        for (size_t i = 0; i < size; i++)
            room[i] = bpe_lowest(level + i * BPE_FAN);
        tree.level[++tree.top] = room;
        room += bpe_padded(size);
    }
    for (;;) {
        int32_t low = bpe_lowest(tree.level[tree.top]);
        size_t at = 0, gone, after;
        uint32_t merged;
        if (low == INT32_MAX)
            return;
        for (int level = tree.top; level >= 0; level--)
            for (at *= BPE_FAN; tree.level[level][at] != low; at++)
                ;
        id[at] = (uint32_t)low;
        gone = next[at];
        after = next[gone];
        next[at] = (uint32_t)after;
        rank[gone] = rank[at] = INT32_MAX;
        if (after < n) {
            previous[after] = (uint32_t)at;
            if ((merged = bpe_pair(t, id[at], id[after])))
                rank[at] = (int32_t)merged;
        }
        bpe_lift(&tree, gone);
        bpe_lift(&tree, at);
        if (at) {
            size_t before = previous[at];
            merged = bpe_pair(t, id[before], id[at]);
            rank[before] = merged ? (int32_t)merged : INT32_MAX;
            bpe_lift(&tree, before);
        }
    }
}

/* One window of the part that s->part_end ends. Returns -1 without memory. */
static inline int bpe_step(const bpe_table *t, bpe_state *s, const uint8_t *data)
{
    size_t n = s->part_end - s->pos, taken = 0, at = 0;
    if (n > s->window)
        n = s->window;
    if (s->room < n) {
        free(s->work);
        s->room = 0;
        if (!(s->work = malloc((5 * n + 8 * BPE_FAN) * sizeof *s->work)))
            return -1;
        s->room = n;
    }
    bpe_large(t, data + s->pos, n, s->work);
    if (s->expect && s->pos + s->work[0] != s->expect) {
        /* The window before ended too early for its own last tokens: from the start with wider ones. */
        s->window *= 2;
        s->pos = s->part;
        s->count = s->part_count;
        s->expect = 0;
        return 0;
    }
    if (s->pos + n == s->part_end) {
        for (; at < n; at = s->work[at])
            taken++;
        s->count += taken;
        s->pos = s->part_end;
        return 0;
    }
    for (; s->work[at] <= n - s->window / 4; at = s->work[at])
        taken++;
    if (!at) {
        s->window *= 2;
        return 0;
    }
    s->expect = s->pos + s->work[at];
    s->pos += at;
    s->count += taken;
    return 0;
}

/* The first place behind p where no token can lie across. */
static inline const uint8_t *bpe_cut(const bpe_table *t, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *start = p;
    while (++p < end)
        if (*p >= 0xC0 && !bpe_joins(t, start, p))
            return p;
    return end;
}

/* Tokens of a piece of at most BPE_SMALL bytes that is no token. */
static inline size_t bpe_piece(const bpe_table *t, const uint8_t *p, const uint8_t *stop, const uint8_t *end)
{
    size_t count = 0;
    const uint8_t *start = p, *cut;
    for (; p < stop; p = cut) {
        cut = bpe_cut(t, p, stop);
        if ((p > start || cut < stop) && bpe_is_token(t, p, (size_t)(cut - p), end))
            count++;
        else
            count += bpe_small(t, p, (size_t)(cut - p));
    }
    return count;
}

/* Counts on in a long piece until it ends or s->pos reaches `pause`. */
static inline int bpe_long(const bpe_table *t, bpe_state *s, const uint8_t *data, size_t pause)
{
    while (s->pos < s->piece_end && s->pos < pause) {
        if (s->pos >= s->part_end) {
            s->part_end = (size_t)(bpe_cut(t, data + s->pos, data + s->piece_end) - data);
            s->part = s->pos;
            s->part_count = s->count;
            s->window = BPE_WINDOW;
            s->expect = 0;
        }
        if (!s->expect && s->part_end - s->pos <= BPE_SMALL) {
            const uint8_t *p = data + s->pos;
            size_t n = s->part_end - s->pos;
            s->count += bpe_is_token(t, p, n, data + s->piece_end) ? 1 : bpe_small(t, p, n);
            s->pos = s->part_end;
        } else if (bpe_step(t, s, data) < 0)
            return -1;
    }
    return 0;
}

static inline __attribute__((always_inline)) int bpe_run(const bpe_table *t, int kind, bpe_state *s, const uint8_t *data, size_t size, int final,
                          size_t budget)
{
    const uint8_t *end = data + size, *stop, *reach;
    size_t pause = budget < size - s->pos ? s->pos + budget : size;
    while (s->pos < pause) {
        const uint8_t *p = data + s->pos;
        size_t n;
        if (s->pos < s->piece_end) {
            if (bpe_long(t, s, data, pause) < 0)
                return -1;
            continue;
        }
        stop = pt_piece(kind, p, end, &reach);
        n = (size_t)(stop - p);
        if (!final && end - (reach > stop ? reach : stop) < PT_LOOK) {
            s->wait = size + (size - s->pos) / 2;
            return 0;
        }
        if (bpe_is_token(t, p, n, end))
            s->count++;
        else if (n <= BPE_SMALL)
            s->count += bpe_piece(t, p, stop, end);
        else {
            s->piece_end = s->pos + n;
            continue;
        }
        s->pos += n;
    }
    return s->pos < size;
}

/* Counts on from s->pos in the `size` bytes of valid UTF-8 at `data`, about `budget` of them. `final`: the text ends there;
 * else a piece that more text could change is left alone. Returns 1 when there is more to count now, 0 when not, -1
 * without memory. All offsets in `s` are relative to `data`. */
static inline int bpe_count(const bpe_table *t, bpe_state *s, const uint8_t *data, size_t size, int final, size_t budget)
{
    if (!final && size < s->wait)
        return 0;
    if (t->head.kind == PT_CL100K)
        return bpe_run(t, PT_CL100K, s, data, size, final, budget);
    if (t->head.kind == PT_O200K)
        return bpe_run(t, PT_O200K, s, data, size, final, budget);
    return bpe_run(t, PT_P50K, s, data, size, final, budget);
}

/* How many bytes at the front of the text are no longer needed; from now on offsets are relative to what follows them. */
static inline size_t bpe_drop(bpe_state *s)
{
    size_t by = s->pos < s->part_end ? s->part : s->pos;
    s->piece_end -= s->piece_end > by ? by : s->piece_end;
    s->part_end -= s->part_end > by ? by : s->part_end;
    s->part -= s->part > by ? by : s->part;
    s->expect -= s->expect > by ? by : s->expect;
    s->wait -= s->wait > by ? by : s->wait;
    s->pos -= by;
    return by;
}

#endif
