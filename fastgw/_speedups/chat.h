/* What chat documents have in common: a list of edits to splice into a document, usage counters, reasoning text, and the
 * text that an answer gives to its caller. */
#ifndef FASTGW_CHAT_H
#define FASTGW_CHAT_H

#include <stdlib.h>

#include "scan.h"

/* ---- edits ------------------------------------------------------------------------------------------------------ */

typedef struct {
    size_t start, end;     /* bytes of the document that are replaced; equal for an insertion */
    const uint8_t *text;   /* what replaces them: a literal or a part of the document; NULL: slot `size` of js_splice */
    size_t size;
} js_edit;

typedef struct {
    js_edit *items;
    size_t count, room;
    int failed;            /* out of memory: the list is incomplete */
    js_edit few[8];
} js_edits;

typedef struct {
    const uint8_t *text;
    size_t size;
} js_text;

static inline void js_edits_init(js_edits *e)
{
    e->items = e->few;
    e->count = 0;
    e->room = sizeof e->few / sizeof e->few[0];
    e->failed = 0;
}

static inline void js_edits_clear(js_edits *e)
{
    if (e->items != e->few)
        free(e->items);
    js_edits_init(e);
}

/* Adds an edit in document order, after those that start at the same place. Edits nearly always arrive in order. */
static inline void js_edit_at(js_edits *e, const js_scan *s, const uint8_t *start, const uint8_t *end,
                              const uint8_t *text, size_t size)
{
    size_t i = e->count, from = (size_t)(start - s->base);
    if (i == e->room) {
        js_edit *more = realloc(e->items == e->few ? NULL : e->items, 2 * e->room * sizeof *more);
        if (!more) {
            e->failed = 1;
            return;
        }
        if (e->items == e->few)
            memcpy(more, e->few, sizeof e->few);
        e->items = more;
        e->room *= 2;
    }
    for (; i > 0 && e->items[i - 1].start > from; i--)
        e->items[i] = e->items[i - 1];
    e->items[i].start = from;
    e->items[i].end = (size_t)(end - s->base);
    e->items[i].text = text;
    e->items[i].size = size;
    e->count++;
}

static inline void js_put(js_edits *e, const js_scan *s, const uint8_t *start, const uint8_t *end, const char *literal)
{
    js_edit_at(e, s, start, end, (const uint8_t *)literal, strlen(literal));
}

static inline void js_put_slot(js_edits *e, const js_scan *s, const uint8_t *start, const uint8_t *end, size_t slot)
{
    js_edit_at(e, s, start, end, NULL, slot);
}

/* Removes the member whose separator and value end are given; kept: members before it in its object that stay.
 * Its own comma goes with it, or the one behind it when nothing before it stays. */
static inline void js_drop(js_edits *e, const js_scan *s, const uint8_t *sep, const uint8_t *end, size_t kept)
{
    if (!kept) {
        const uint8_t *p = end;
        sep++;
        while (p < s->end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
            p++;
        if (p < s->end && *p == ',')
            end = p + 1;
    }
    js_put(e, s, sep, end, "");
}

static inline size_t js_spliced_size(const js_edits *e, size_t size, const js_text *slots)
{
    size_t i;
    for (i = 0; i < e->count; i++) {
        const js_edit *edit = &e->items[i];
        size += (edit->text ? edit->size : slots[edit->size].size) - (edit->end - edit->start);
    }
    return size;
}

/* Writes the document with its edits applied; returns the end of what was written. */
static inline uint8_t *js_splice(const js_edits *e, const uint8_t *base, size_t size, const js_text *slots, uint8_t *out)
{
    size_t i, at = 0;
    for (i = 0; i < e->count; i++) {
        const js_edit *edit = &e->items[i];
        const uint8_t *text = edit->text ? edit->text : slots[edit->size].text;
        size_t n = edit->text ? edit->size : slots[edit->size].size;
        memcpy(out, base + at, edit->start - at);
        out += edit->start - at;
        if (n)
            memcpy(out, text, n);
        out += n;
        at = edit->end;
    }
    memcpy(out, base + at, size - at);
    return out + (size - at);
}

/* ---- usage ------------------------------------------------------------------------------------------------------ */

typedef struct {
    int64_t prompt, completion, total, cached, reasoning;
} chat_counts;

/* A counter: a non-negative integer up to 2^53; anything else counts as 0 and stays as it is in the document. */
static inline int64_t js_count(const uint8_t *p, const uint8_t *end, int kind)
{
    int64_t value = 0;
    if (kind != JS_INT || *p == '-' || end - p > 16)
        return 0;
    for (; p < end; p++)
        value = value * 10 + (*p - '0');
    return value <= (int64_t)1 << 53 ? value : 0;
}

typedef struct {
    const uint8_t *start, *end;             /* the whole value; start is NULL when absent */
    const uint8_t *found, *found_end;       /* value of the wanted member, if any */
    int kind, empty;
    int64_t count;
} chat_details;

/* A details value: an object in which one counter is wanted, or anything else. */
static inline int chat_detail(js_scan *s, const char *wanted, chat_details *d)
{
    js_iter it;
    int more, kind;
    memset(d, 0, sizeof *d);
    d->start = s->p;
    d->empty = 1;
    if (*s->p != '{') {
        d->kind = js_value(s);
        d->end = s->p;
        return d->kind;
    }
    d->kind = JS_OBJECT;
    js_enter(s, &it);
    while ((more = js_member(s, &it)) > 0) {
        const uint8_t *start = s->p;
        if ((kind = js_value(s)) < 0)
            return -1;
        d->empty = 0;
        if (js_key_is(&it, wanted)) {
            d->found = start;
            d->found_end = s->p;
            d->count = js_count(start, s->p, kind);
        }
    }
    d->end = s->p;
    return more;
}

/* Vendors that report cache hits as `prompt_cache_hit_tokens` get the standard member besides it. */
static inline void chat_add_cached(js_scan *s, js_edits *e, const chat_details *d, const uint8_t *close,
                                   const uint8_t *hit, size_t size)
{
    const uint8_t *start = close, *end = close;
    const char *before = ",\"prompt_tokens_details\":{\"cached_tokens\":", *after = "}";
    if (d->found) {
        start = d->found, end = d->found_end;
        before = after = "";
    } else if (d->kind == JS_OBJECT) {
        start = end = d->end - 1;
        before = d->empty ? "\"cached_tokens\":" : ",\"cached_tokens\":";
        after = "";
    } else if (d->start) {
        start = d->start, end = d->end;
        before = "{\"cached_tokens\":";
    }
    js_put(e, s, start, end, before);
    js_edit_at(e, s, end, end, hit, size);
    js_put(e, s, end, end, after);
}

#define CHAT_NO_USAGE "{\"prompt_tokens\":0,\"completion_tokens\":0,\"total_tokens\":0}"

/* The usage object at s->p: reads its counters and has the three that callers rely on added as 0 where they lack. */
static inline int chat_usage(js_scan *s, js_edits *e, chat_counts *counts)
{
    static const char *const names[] = {"prompt_tokens", "completion_tokens", "total_tokens"};
    static const char *const missing[] = {",\"prompt_tokens\":0", ",\"completion_tokens\":0", ",\"total_tokens\":0"};
    const uint8_t *open = s->p, *hit = NULL;
    chat_details prompt_details = {0}, completion_details = {0};
    int64_t values[3] = {0, 0, 0}, hits = 0;
    size_t hit_size = 0;
    unsigned seen = 0;
    js_iter it;
    int more, kind, i;
    js_enter(s, &it);
    while ((more = js_member(s, &it)) > 0) {
        const uint8_t *start = s->p;
        if (js_key_is(&it, "prompt_tokens_details")) {
            if (chat_detail(s, "cached_tokens", &prompt_details) < 0)
                return -1;
            continue;
        }
        if (js_key_is(&it, "completion_tokens_details")) {
            if (chat_detail(s, "reasoning_tokens", &completion_details) < 0)
                return -1;
            continue;
        }
        if ((kind = js_value(s)) < 0)
            return -1;
        if (js_key_is(&it, "prompt_cache_hit_tokens")) {
            hits = js_count(start, s->p, kind);
            hit = start;
            hit_size = (size_t)(s->p - start);
            continue;
        }
        for (i = 0; i < 3; i++)
            if (js_key_is(&it, names[i])) {
                seen |= 1u << i;
                values[i] = js_count(start, s->p, kind);
                if (kind == JS_NULL)
                    js_put(e, s, start, s->p, "0");
            }
    }
    if (more < 0)
        return -1;
    counts->prompt = values[0];
    counts->completion = values[1];
    counts->total = values[2];
    counts->cached = prompt_details.count ? prompt_details.count : hits;
    counts->reasoning = completion_details.count;
    if (!it.count) {
        js_put(e, s, open, s->p, CHAT_NO_USAGE);
        return JS_OBJECT;
    }
    /* First, because what it inserts belongs directly behind a details value that may end at the closing bracket. */
    if (hits > 0 && !prompt_details.count)
        chat_add_cached(s, e, &prompt_details, s->p - 1, hit, hit_size);
    for (i = 0; i < 3; i++)
        if (!(seen & 1u << i))
            js_put(e, s, s->p - 1, s->p - 1, missing[i]);
    return JS_OBJECT;
}

/* ---- delivered text --------------------------------------------------------------------------------------------- */

#define CHAT_KEPT 1048576  /* bytes of an answer's text that are kept for counting; the rest is only measured */

enum { CHAT_SAYS, CHAT_THINKS, CHAT_CALLS, CHAT_PARTS };

typedef struct {
    uint8_t *data;
    size_t size, room, mark;
} chat_text;

/* What an answer tells its caller, decoded: content, reasoning, and names and arguments of tool calls. */
typedef struct {
    chat_text parts[CHAT_PARTS];
    size_t size;                 /* of all parts */
    size_t beyond, mark;         /* bytes that were not kept */
} chat_output;

static inline void chat_output_clear(chat_output *o)
{
    int i;
    for (i = 0; i < CHAT_PARTS; i++)
        free(o->parts[i].data);
    memset(o, 0, sizeof *o);
}

/* From here on chat_output_undo takes back what is added. */
static inline void chat_output_mark(chat_output *o)
{
    int i;
    for (i = 0; i < CHAT_PARTS; i++)
        o->parts[i].mark = o->parts[i].size;
    o->mark = o->beyond;
}

static inline void chat_output_undo(chat_output *o)
{
    int i;
    for (i = 0; i < CHAT_PARTS; i++) {
        o->size -= o->parts[i].size - o->parts[i].mark;
        o->parts[i].size = o->parts[i].mark;
    }
    o->beyond = o->mark;
}

static inline uint8_t *chat_output_copy(const chat_output *o, uint8_t *to)
{
    int i;
    for (i = 0; i < CHAT_PARTS; i++) {
        if (o->parts[i].size)
            memcpy(to, o->parts[i].data, o->parts[i].size);
        to += o->parts[i].size;
    }
    return to;
}

/* Where checked string text may be cut so that at most `most` bytes of it stay: not inside a character or an escape. */
static inline const uint8_t *chat_cut(const uint8_t *text, size_t most)
{
    const uint8_t *cut = text + most, *p = text;
    while ((p = memchr(p, '\\', (size_t)(cut - p)))) {
        size_t size = p[1] == 'u' ? 6 : 2;
        if ((size_t)(cut - p) < size)
            return p;
        p += size;
    }
    while (cut > text && (*cut & 0xC0) == 0x80)
        cut--;
    return cut;
}

/* Adds the checked string start..end, quotes included, to a part. Without memory it is only measured. */
static inline void chat_say(chat_output *o, int part, const uint8_t *start, const uint8_t *end)
{
    chat_text *t = &o->parts[part];
    const uint8_t *text = start + 1, *stop = end - 1;
    size_t left = CHAT_KEPT - o->size, room, used;
    uint8_t *data;
    if ((size_t)(stop - text) > left) {
        stop = chat_cut(text, left);
        o->beyond += (size_t)(end - 1 - stop);
    }
    if (stop == text)
        return;
    if ((size_t)(stop - text) > t->room - t->size) {
        for (room = t->room ? t->room : 256; room < t->size + (size_t)(stop - text); room *= 2)
            ;
        if (!(data = realloc(t->data, room))) {
            o->beyond += (size_t)(stop - text);
            return;
        }
        t->data = data;
        t->room = room;
    }
    used = (size_t)(stop - text);
    if (memchr(text, '\\', used))
        used = js_decode(text, used, t->data + t->size);
    else
        memcpy(t->data + t->size, text, used);
    t->size += used;
    o->size += used;
}

/* The `function` object at s->p: its name and its arguments. */
static inline int chat_function(js_scan *s, chat_output *o)
{
    js_iter it;
    int more, kind;
    js_enter(s, &it);
    while ((more = js_member(s, &it)) > 0) {
        const uint8_t *start = s->p;
        if ((kind = js_value(s)) < 0)
            return -1;
        if (kind == JS_STRING && (js_key_is(&it, "name") || js_key_is(&it, "arguments")))
            chat_say(o, CHAT_CALLS, start, s->p);
    }
    return more < 0 ? -1 : JS_OBJECT;
}

/* The `tool_calls` array at s->p. */
static inline int chat_calls(js_scan *s, chat_output *o)
{
    js_iter calls, it;
    int more, member;
    js_enter(s, &calls);
    while ((more = js_item(s, &calls)) > 0) {
        if (*s->p != '{') {
            if (js_value(s) < 0)
                return -1;
            continue;
        }
        js_enter(s, &it);
        while ((member = js_member(s, &it)) > 0)
            if ((*s->p == '{' && js_key_is(&it, "function") ? chat_function(s, o) : js_value(s)) < 0)
                return -1;
        if (member < 0)
            return -1;
    }
    return more < 0 ? -1 : JS_ARRAY;
}

/* ---- messages and deltas ---------------------------------------------------------------------------------------- */

/* Where a vendor puts reasoning text inside a message or delta. */
typedef struct {
    const js_text *names;
    size_t count;     /* 0: reasoning text is left where it is */
    int always;       /* the member goes even when it holds no text */
} chat_path;

typedef struct {
    int role, content;                    /* kinds */
    const uint8_t *role_at, *content_at;
    int carries;                          /* a member that is not null stays in the object */
} chat_part;

typedef struct {
    size_t index;
    const uint8_t *sep, *key, *key_end, *start, *end;
    const uint8_t *text, *text_end;       /* the reasoning string with its quotes, or NULL */
    int kind, source, filled;
} chat_member;

/* The value of a member of the checked value start..end; the last one of that name counts. */
static inline int chat_find(const uint8_t *start, const uint8_t *end, const js_text *name, chat_member *m)
{
    js_scan s;
    js_iter it;
    int kind, found = 0;
    js_start(&s, start, (size_t)(end - start), JS_MAX_DEPTH);
    if (*start != '{')
        return 0;
    js_enter(&s, &it);
    while (js_member(&s, &it) > 0) {
        const uint8_t *value = s.p;
        if ((kind = js_value(&s)) < 0)
            return 0;
        if (js_key_equals(&it, name->text, name->size)) {
            m->text = value;
            m->text_end = s.p;
            m->kind = kind;
            found = 1;
        }
    }
    return found;
}

static inline void chat_source(const chat_path *path, chat_member *m)
{
    size_t i;
    m->source = 1;
    m->text = m->start;
    m->text_end = m->end;
    for (i = 1; i < path->count; i++)
        if (!chat_find(m->text, m->text_end, &path->names[i], m)) {
            m->text = NULL;
            return;
        }
    if (m->kind != JS_STRING)
        m->text = NULL;
    m->filled = m->text && m->text_end - m->text > 2;
}

/* Moves the text of the vendor's member to `reasoning_content` and drops what that leaves without use. */
static inline void chat_lift(js_scan *s, js_edits *e, const chat_path *path, chat_member *members, int count,
                             chat_part *part, chat_output *o)
{
    chat_member *lifted = NULL;
    size_t dropped = 0;
    int i, present = 0;
    for (i = 0; i < count; i++)
        present |= !members[i].source && members[i].filled;
    for (i = 0; i < count && !present; i++)
        if (members[i].source && members[i].filled)
            lifted = &members[i];
    for (i = 0; i < count; i++) {
        chat_member *m = &members[i];
        if (m == lifted) {
            part->carries = 1;
            if (o)
                chat_say(o, CHAT_THINKS, m->text, m->text_end);
            if (m->text == m->start) {
                js_put(e, s, m->key, m->key_end, "\"reasoning_content\"");
            } else {
                js_put(e, s, m->key, m->text, "\"reasoning_content\":");
                js_put(e, s, m->text_end, m->end, "");
            }
        } else if (m->source ? m->text || path->always : lifted != NULL) {
            js_drop(e, s, m->sep, m->end, m->index - dropped);
            dropped++;
        } else if (*m->start != 'n') {
            part->carries = 1;
            if (o && !m->source && m->kind == JS_STRING)
                chat_say(o, CHAT_THINKS, m->start, m->end);
        }
    }
}

/* The message or delta object at s->p, with its text added to `o` unless that is NULL. More than 8 members about
 * reasoning are refused: no upstream sends them. */
static inline int chat_scan_part(js_scan *s, js_edits *e, const chat_path *path, chat_part *part, chat_output *o)
{
    chat_member members[8];
    int count = 0, more, kind;
    js_iter it;
    memset(part, 0, sizeof *part);
    js_enter(s, &it);
    while ((more = js_member(s, &it)) > 0) {
        const uint8_t *start = s->p;
        int source = path->count && js_key_equals(&it, path->names[0].text, path->names[0].size);
        if (o && *start == '[' && js_key_is(&it, "tool_calls"))
            kind = chat_calls(s, o);
        else if (o && *start == '{' && js_key_is(&it, "function_call"))
            kind = chat_function(s, o);
        else
            kind = js_value(s);
        if (kind < 0)
            return -1;
        if (source || js_key_is(&it, "reasoning_content")) {
            chat_member *m = &members[count];
            if (count == 8)
                return js_refuse(s, JS_DUPLICATE, it.key - 1);
            count++;
            memset(m, 0, sizeof *m);
            m->index = it.count - 1;
            m->sep = it.sep;
            m->key = it.key - 1;
            m->key_end = it.key + it.key_len + 1;
            m->start = start;
            m->end = s->p;
            m->kind = kind;
            if (source)
                chat_source(path, m);
            else
                m->filled = kind != JS_NULL && !(kind == JS_STRING && s->p - start == 2);
            continue;
        }
        part->carries |= kind != JS_NULL;
        if (js_key_is(&it, "role")) {
            part->role = kind;
            part->role_at = start;
        } else if (js_key_is(&it, "content")) {
            part->content = kind;
            part->content_at = start;
            if (o && kind == JS_STRING)
                chat_say(o, CHAT_SAYS, start, s->p);
        }
    }
    if (more < 0)
        return -1;
    if (count)
        chat_lift(s, e, path, members, count, part, o);
    return JS_OBJECT;
}

#endif
