/* Operations on 64-bit cells that several processes map at once.

   Everything is lock-free: a process that is killed in the middle of an operation leaves no lock behind. Each loop
   repeats only when another process succeeded in between. */
#ifndef FASTGW_CELLS_H
#define FASTGW_CELLS_H

#include <stdint.h>

static inline int64_t cell_load(const int64_t *cell) { return __atomic_load_n(cell, __ATOMIC_ACQUIRE); }

static inline void cell_store(int64_t *cell, int64_t value) { __atomic_store_n(cell, value, __ATOMIC_RELEASE); }

/* The sum wraps like two's complement: gcc defines that for its atomic builtins, signed types included. */
static inline int64_t cell_add(int64_t *cell, int64_t n) { return __atomic_add_fetch(cell, n, __ATOMIC_SEQ_CST); }

static inline int64_t cell_swap(int64_t *cell, int64_t value) {
    return __atomic_exchange_n(cell, value, __ATOMIC_SEQ_CST);
}

static inline int cell_cas(int64_t *cell, int64_t old, int64_t value) {
    return __atomic_compare_exchange_n(cell, &old, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
}

/* For a cell with one writer: two plain moves where a locked add would cost about 20 cycles. Readers see whole
   values only. */
static inline void cell_bump(int64_t *cell, int64_t n) {
    uint64_t value = (uint64_t)__atomic_load_n(cell, __ATOMIC_RELAXED);
    __atomic_store_n(cell, (int64_t)(value + (uint64_t)n), __ATOMIC_RELAXED);
}

static inline void cell_raise(int64_t *cell, int64_t value) {
    int64_t seen = cell_load(cell);
    while (seen < value && !__atomic_compare_exchange_n(cell, &seen, value, 1, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)) {
    }
}

static inline int cell_take_slot(int64_t *cell, int64_t limit) {
    int64_t seen = cell_load(cell);
    while (seen < limit) {
        if (__atomic_compare_exchange_n(cell, &seen, seen + 1, 1, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE))
            return 1;
    }
    return 0;
}

static inline void cell_free_slot(int64_t *cell) {
    int64_t seen = cell_load(cell);
    while (seen > 0 && !__atomic_compare_exchange_n(cell, &seen, seen - 1, 1, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)) {
    }
}

/* A fixed window is two cells:
     head = window id << 16 | generation     (the generation counts the resets, modulo 2^16)
     body = generation << 48 | used
   No machine changes two words at once portably, so the body carries the generation that it belongs to: a body of
   an older generation counts as "nothing used", and a compare-and-swap on the body cannot mix two windows.

   Only the head names the current window and its window id never decreases. A body is moved on to the head's
   generation by a compare-and-swap from a value that was read while the head was the same, so a process that was
   suspended in between cannot overwrite what a newer window has counted. That would take 2^16 windows passing during
   one suspension. */
#define WINDOW_GENERATION_BITS 16
#define WINDOW_GENERATION_MASK ((uint64_t)0xFFFF)
#define WINDOW_USED_BITS 48
#define WINDOW_USED_MAX ((int64_t)(((uint64_t)1 << WINDOW_USED_BITS) - 1))
#define WINDOW_ID_MAX (INT64_MAX >> WINDOW_GENERATION_BITS)

/* window_id is in 0..WINDOW_ID_MAX. Returns the amount used after the admission, or -1. */
static inline int64_t cell_take_window(int64_t *cells, int64_t window_id, int64_t limit, int64_t cost) {
    int64_t *head_cell = cells, *body_cell = cells + 1;
    if (limit > WINDOW_USED_MAX)
        limit = WINDOW_USED_MAX;
    for (;;) {
        int64_t head = __atomic_load_n(head_cell, __ATOMIC_SEQ_CST);
        uint64_t generation = (uint64_t)head & WINDOW_GENERATION_MASK;
        int64_t current = head >> WINDOW_GENERATION_BITS;
        if (current < window_id) {
            uint64_t next = (generation + 1) & WINDOW_GENERATION_MASK;
            cell_cas(head_cell, head, (int64_t)((uint64_t)window_id << WINDOW_GENERATION_BITS | next));
            continue;
        }
        int64_t body = __atomic_load_n(body_cell, __ATOMIC_SEQ_CST);
        if (((uint64_t)body >> WINDOW_USED_BITS) != generation) {
            if (__atomic_load_n(head_cell, __ATOMIC_SEQ_CST) == head)
                cell_cas(body_cell, body, (int64_t)(generation << WINDOW_USED_BITS));
            continue;
        }
        int64_t used = body & WINDOW_USED_MAX;
        int64_t after;
        if (cost >= 0) {
            if (cost > limit || used > limit - cost)
                return -1;
            after = used + cost;
        } else if (current > window_id) {
            return used; /* what is given back was taken from a window that is over */
        } else {
            after = used + cost > 0 ? used + cost : 0;
        }
        if (after == used || cell_cas(body_cell, body, (int64_t)(generation << WINDOW_USED_BITS | (uint64_t)after)))
            return after;
    }
}

#endif
