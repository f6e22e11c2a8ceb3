/* The image of a vocabulary: one flat, pointer-free block of memory that any number of processes may map read-only.
 *
 *     header | id of each byte | id of each pair of bytes (by their ids) | id of each character below U+10000 | rough borders |
 *     tokens of 1..7 bytes | of 8..15 | longer ones | merges | filter of character borders | bytes of the longer tokens
 *
 * A token's id is its rank. The sets and the merges are hash tables with linear probing that does not wrap: behind the
 * 2^bits slots come BPE_SPILL more, the last of which is always empty, so that a search ends whatever an image holds.
 * Little-endian machines only, like every platform that fastgw has wheels for.
 *
 * merges: (left id, right id) -> id, one per token. Byte-pair encoding can produce the bytes of a token from two
 * neighbours in one way only, because what happens inside of them depends on nothing outside until they meet.
 *
 * filter: whether any token lies across the border before a non-ASCII character with given neighbours. Where none does,
 * no merge ever crosses, and the text on both sides can be counted apart.
 *
 * rough borders: pairs of bytes around a character border across which some token reaches without all of the one or
 * the other character. Between two borders that are not rough, no merge takes a part of the character away: its own
 * bytes merge first, or nothing does. (A token's id is above those of its halves, so merges come in the order of ids.)
 */
#ifndef FASTGW_BPE_IMAGE_H
#define FASTGW_BPE_IMAGE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "token tables need a little-endian machine"
#endif

#define BPE_MAGIC 0x3130657062776766u /* "fgwbpe01" */
#define BPE_SPILL 64
#define BPE_MAX_TOKENS (1u << 18)
#define BPE_NOTHING (BPE_MAX_TOKENS - 1) /* the id of no token: merges with nothing */
#define BPE_MAX_TOKEN 255u /* bytes in a token */
#define BPE_NONE 0xFFFFFFu
#define BPE_MIX 0x9E3779B97F4A7C15u

typedef struct {
    uint64_t magic;  /* of an image: written last */
    char name[16];
    uint32_t kind, tokens;
    uint8_t short_bits, mid_bits, long_bits, pair_bits, filter_bits, unused[3];
    uint32_t long_bytes, unused2[5];
} bpe_header; /* 64 bytes */

typedef struct { uint64_t low, high; } bpe_key; /* up to 15 bytes and their number */

typedef struct {
    bpe_header head;
    const uint32_t *byte_id, *byte_pairs, *char_id;
    const uint64_t *rough, *shorts, *longs, *pairs, *filter;
    const bpe_key *mids;
    const uint8_t *text;
} bpe_table;

static inline size_t bpe_slots(unsigned bits)
{
    return ((size_t)1 << bits) + BPE_SPILL;
}

/* Returns the size of the image that `head` describes, or 0 for an impossible header; unless base is NULL, makes `t` point
 * to its sections. */
static inline size_t bpe_layout(bpe_table *t, const bpe_header *head, const uint8_t *base)
{
    size_t at[11] = {sizeof *head};
    if (head->kind < 1 || head->kind > 3 || head->tokens < 256 || head->tokens >= BPE_MAX_TOKENS
        || head->short_bits - 8u > 14 || head->mid_bits - 8u > 14 || head->long_bits - 8u > 14
        || head->pair_bits - 8u > 14 || head->filter_bits - 8u > 18 || head->long_bytes > (1u << 26))
        return 0;
    at[1] = at[0] + 256 * sizeof *t->byte_id;
    at[2] = at[1] + 65536 * sizeof *t->byte_pairs;
    at[3] = at[2] + 65536 * sizeof *t->char_id;
    at[4] = at[3] + 65536 / 8;
    at[5] = at[4] + bpe_slots(head->short_bits) * sizeof *t->shorts;
    at[6] = at[5] + bpe_slots(head->mid_bits) * sizeof *t->mids;
    at[7] = at[6] + bpe_slots(head->long_bits) * sizeof *t->longs;
    at[8] = at[7] + bpe_slots(head->pair_bits) * sizeof *t->pairs;
    at[9] = at[8] + ((size_t)1 << (head->filter_bits - 3));
    at[10] = at[9] + head->long_bytes;
    if (base) {
        t->head = *head;
        t->byte_id = (const uint32_t *)(base + at[0]);
        t->byte_pairs = (const uint32_t *)(base + at[1]);
        t->char_id = (const uint32_t *)(base + at[2]);
        t->rough = (const uint64_t *)(base + at[3]);
        t->shorts = (const uint64_t *)(base + at[4]);
        t->mids = (const bpe_key *)(base + at[5]);
        t->longs = (const uint64_t *)(base + at[6]);
        t->pairs = (const uint64_t *)(base + at[7]);
        t->filter = (const uint64_t *)(base + at[8]);
        t->text = base + at[9];
    }
    return at[10];
}

/* Opens an image; 0 when this is none or it is not complete yet. */
static inline int bpe_open(bpe_table *t, const uint8_t *base, size_t size)
{
    bpe_header head;
    size_t need;
    if (size < sizeof head || __atomic_load_n((const uint64_t *)base, __ATOMIC_ACQUIRE) != BPE_MAGIC)
        return 0;
    memcpy(&head, base, sizeof head);
    need = bpe_layout(t, &head, base);
    return need && need <= size && !t->shorts[bpe_slots(head.short_bits) - 1]
        && !t->mids[bpe_slots(head.mid_bits) - 1].high && !t->longs[bpe_slots(head.long_bits) - 1]
        && !t->pairs[bpe_slots(head.pair_bits) - 1];
}

static inline uint64_t bpe_load(const uint8_t *p, size_t n) /* n <= 8 */
{
    uint64_t value = 0;
    memcpy(&value, p, n);
    return value;
}

/* Up to 8 bytes at p; reads 8 where `end` allows, which needs no loop. */
static inline uint64_t bpe_load_upto(const uint8_t *p, size_t n, const uint8_t *end)
{
    uint64_t value;
    if (end - p < 8)
        return bpe_load(p, n);
    memcpy(&value, p, 8);
    return n < 8 ? value & (((uint64_t)1 << 8 * n) - 1) : value;
}

static inline size_t bpe_slot(uint64_t key, unsigned bits)
{
    return (size_t)(key * BPE_MIX >> (64 - bits));
}

static inline uint64_t bpe_fold(uint64_t a, uint64_t b)
{
    return (a * 0xD6E8FEB86659FD93u) ^ (b + (b << 32 | b >> 32));
}

static inline uint64_t bpe_long_hash(const uint8_t *p, size_t n)
{
    return bpe_fold(bpe_load(p, 8) ^ bpe_load(p + 8, 8), bpe_load(p + n - 8, 8) + n) * BPE_MIX;
}

/* Whether the n >= 1 bytes at p are one token. */
static inline int bpe_is_token(const bpe_table *t, const uint8_t *p, size_t n, const uint8_t *end)
{
    uint64_t key, found;
    if (n <= 7) {
        const uint64_t *slot;
        key = bpe_load_upto(p, n, end) | (uint64_t)n << 56;
        slot = t->shorts + bpe_slot(key, t->head.short_bits);
        while ((found = *slot++))
            if (found == key)
                return 1;
        return 0;
    }
    if (n <= 15) {
        uint64_t high = bpe_load_upto(p + 8, n - 8, end) | (uint64_t)n << 56;
        const bpe_key *slot;
        memcpy(&key, p, 8);
        slot = t->mids + bpe_slot(bpe_fold(key, high), t->head.mid_bits);
        for (; slot->high; slot++)
            if (slot->low == key && slot->high == high)
                return 1;
        return 0;
    }
    if (n <= BPE_MAX_TOKEN) {
        const uint64_t *slot;
        key = bpe_long_hash(p, n);
        slot = t->longs + (size_t)(key >> (64 - t->head.long_bits));
        while ((found = *slot++)) {
            uint32_t at = (uint32_t)found;
            if ((found >> 32 & 255) == n && found >> 40 == (key & 0xFFFFFF) && at <= t->head.long_bytes - n
                && n <= t->head.long_bytes && !memcmp(t->text + at, p, n))
                return 1;
        }
    }
    return 0;
}

/* The id that neighbours a and b merge into, or 0. */
static inline uint32_t bpe_pair(const bpe_table *t, uint32_t a, uint32_t b)
{
    uint64_t key = (uint64_t)a << 18 | b, found;
    const uint64_t *slot;
    if ((a | b) < 256)
        return t->byte_pairs[a << 8 | b];
    /* In groups of four, compared without branches: whether there is a merge is as good as random. */
    for (slot = t->pairs + (bpe_slot(key, t->head.pair_bits) & ~(size_t)3);; slot += 4) {
        found = 0;
        for (int i = 0; i < 4; i++)
            found |= -(uint64_t)(slot[i] >> 18 == key) & slot[i];
        if (found || !slot[3])
            return (uint32_t)found & (BPE_MAX_TOKENS - 1);
    }
}

/* The filter knows tokens that hold wx|yz, that start with x|yz, or that end with wx|y. */
enum { BPE_INSIDE = 1, BPE_START, BPE_END };

static inline size_t bpe_border(uint32_t bytes, unsigned kind, unsigned bits)
{
    return bpe_slot(bytes ^ (uint64_t)kind << 40, bits);
}

static inline int bpe_filtered(const bpe_table *t, uint32_t bytes, unsigned kind)
{
    size_t bit = bpe_border(bytes, kind, t->head.filter_bits);
    return (t->filter[bit >> 6] >> (bit & 63)) & 1;
}

/* Whether a token may lie across the border at p, where `start` < p < end - 1 is in the middle of a text. */
static inline int bpe_joins(const bpe_table *t, const uint8_t *start, const uint8_t *p)
{
    uint32_t x = p[-1], y = p[0], z = p[1], w = p - start > 1 ? p[-2] : 0;
    return (p - start > 1 && bpe_filtered(t, w | x << 8 | y << 16 | z << 24, BPE_INSIDE))
        || bpe_pair(t, t->byte_id[x], t->byte_id[y]) || bpe_filtered(t, x | y << 8 | z << 16, BPE_START)
        || (p - start > 1 && bpe_filtered(t, w | x << 8 | y << 16, BPE_END));
}

/* Whether the border between the bytes x and y, the second of which starts a character, is rough. */
static inline int bpe_is_rough(const bpe_table *t, uint32_t x, uint32_t y)
{
    return (t->rough[x << 2 | y >> 6] >> (y & 63)) & 1;
}

/* Bytes in the character that starts with this byte. */
static inline size_t bpe_width(uint8_t lead)
{
    return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

/* The code point of n = 2 or 3 bytes of UTF-8. */
static inline uint32_t bpe_point(const uint8_t *p, size_t n)
{
    return n == 2 ? (p[0] & 31u) << 6 | (p[1] & 63u) : (p[0] & 15u) << 12 | (p[1] & 63u) << 6 | (p[2] & 63u);
}

/* ---- making an image ---- */

static inline int bpe_put(uint64_t *slots, unsigned bits, size_t at, uint64_t value)
{
    for (; at < bpe_slots(bits) - 1; at++)
        if (!slots[at]) {
            slots[at] = value;
            return 0;
        }
    return -1;
}

static inline void bpe_put_border(bpe_table *t, uint32_t bytes, unsigned kind)
{
    size_t bit = bpe_border(bytes, kind, t->head.filter_bits);
    ((uint64_t *)t->filter)[bit >> 6] |= (uint64_t)1 << (bit & 63);
}

/* Enters the borders inside of a token. */
static inline void bpe_put_borders(bpe_table *t, const uint8_t *p, size_t n)
{
    for (size_t at = 1; at < n; at++) {
        uint32_t x = p[at - 1], y = p[at];
        size_t left = at - 1;
        if (y >= 0x80 && y < 0xC0)
            continue;
        while (left && p[left] >= 0x80 && p[left] < 0xC0)
            left--;
        if ((p[left] >= 0x80 && p[left] < 0xC0) || at + bpe_width(p[at]) > n)
            ((uint64_t *)t->rough)[x << 2 | y >> 6] |= (uint64_t)1 << (y & 63);
        if (y < 0xC0 || n == 2)
            continue;
        if (at > 1 && at + 1 < n)
            bpe_put_border(t, p[at - 2] | x << 8 | y << 16 | (uint32_t)p[at + 1] << 24, BPE_INSIDE);
        else if (at > 1)
            bpe_put_border(t, p[at - 2] | x << 8 | y << 16, BPE_END);
        else
            bpe_put_border(t, x | y << 8 | (uint32_t)p[at + 1] << 16, BPE_START);
    }
}

static inline int bpe_put_token(bpe_table *t, const uint8_t *p, size_t n, uint32_t *long_used)
{
    uint64_t key;
    size_t at;
    if (n <= 7) {
        key = bpe_load(p, n) | (uint64_t)n << 56;
        if (bpe_put((uint64_t *)t->shorts, t->head.short_bits, bpe_slot(key, t->head.short_bits), key) < 0)
            return -1;
    } else if (n <= 15) {
        bpe_key *mids = (bpe_key *)t->mids, wide = {bpe_load(p, 8), bpe_load(p + 8, n - 8) | (uint64_t)n << 56};
        for (at = bpe_slot(bpe_fold(wide.low, wide.high), t->head.mid_bits); mids[at].high; at++)
            ;
        if (at >= bpe_slots(t->head.mid_bits) - 1)
            return -1;
        mids[at] = wide;
    } else {
        if (n > t->head.long_bytes - *long_used)
            return -1;
        key = bpe_long_hash(p, n);
        memcpy((uint8_t *)t->text + *long_used, p, n);
        if (bpe_put((uint64_t *)t->longs, t->head.long_bits, (size_t)(key >> (64 - t->head.long_bits)),
                    (key & 0xFFFFFF) << 40 | (uint64_t)n << 32 | *long_used) < 0)
            return -1;
        *long_used += (uint32_t)n;
    }
    bpe_put_borders(t, p, n);
    return 0;
}

/* Fills the zeroed image at `base`, which must have the size that bpe_layout gives, with the tokens below `limit`.
 * `packed`: 256 bytes, the tokens of ranks 0..255, then six planes of head->tokens - 256 bytes: the low, middle and high
 * byte of each token's left half, then of its right half; BPE_NONE for a rank without token. Returns 0, or -1 when
 * `packed` makes no sense or does not fit `head`, or -2 without memory. Linear. */
static inline int bpe_build(const bpe_header *head, uint32_t limit, const uint8_t *packed, uint8_t *base)
{
    bpe_table table = {0}, *t = &table;
    size_t n = head->tokens, planes = n - 256, used = 0, room = 1 << 16;
    uint32_t *start, long_used = 0;
    uint8_t *text, *larger, seen[256] = {0};
    int fault = -1;
    if (!bpe_layout(t, head, base))
        return -1;
    start = malloc((n + 1) * sizeof *start);
    text = malloc(room);
    if (!start || !text) {
        fault = -2;
        goto out;
    }
    for (uint32_t id = 0; id < n && id < limit; id++) {
        uint32_t a, b;
        size_t size, size_a, size_b;
        start[id] = (uint32_t)used;
        start[id + 1] = (uint32_t)used;
        if (room - used < 2 * BPE_MAX_TOKEN) {
            if (!(larger = realloc(text, room * 2))) {
                fault = -2;
                goto out;
            }
            text = larger;
            room *= 2;
        }
        if (id < 256) {
            if (seen[packed[id]]++)
                goto out;
            text[used] = packed[id];
            ((uint32_t *)t->byte_id)[packed[id]] = id;
            size = 1;
        } else {
            const uint8_t *p = packed + id; /* 256 bytes and id - 256 more */
            a = p[0] | (uint32_t)p[planes] << 8 | (uint32_t)p[2 * planes] << 16;
            b = p[3 * planes] | (uint32_t)p[4 * planes] << 8 | (uint32_t)p[5 * planes] << 16;
            if (a == BPE_NONE)
                continue;
            if (a >= id || b >= id)
                goto out;
            size_a = start[a + 1] - start[a];
            size_b = start[b + 1] - start[b];
            size = size_a + size_b;
            if (!size_a || !size_b || size > BPE_MAX_TOKEN)
                goto out;
            memcpy(text + used, text + start[a], size_a);
            memcpy(text + used + size_a, text + start[b], size_b);
            if (a < 256 && b < 256)
                ((uint32_t *)t->byte_pairs)[a << 8 | b] = id;
            else if (bpe_put((uint64_t *)t->pairs, head->pair_bits,
                             bpe_slot((uint64_t)a << 18 | b, head->pair_bits) & ~(size_t)3,
                             ((uint64_t)a << 18 | b) << 18 | id) < 0)
                goto out;
        }
        if ((size == 2 || size == 3) && text[used] >= 0xC2 && bpe_width(text[used]) == size)
            ((uint32_t *)t->char_id)[bpe_point(text + used, size)] = id; /* of no other text: a token's bytes are unique */
        if (bpe_put_token(t, text + used, size, &long_used) < 0)
            goto out;
        used += size;
        start[id + 1] = (uint32_t)used;
    }
    memcpy(base + 8, (const uint8_t *)head + 8, sizeof *head - 8);
    __atomic_store_n((uint64_t *)base, BPE_MAGIC, __ATOMIC_RELEASE);
    fault = 0;
out:
    free(start);
    free(text);
    return fault;
}

#endif
