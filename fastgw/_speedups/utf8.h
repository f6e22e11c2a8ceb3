/* UTF-8 (RFC 3629) that may be broken or cut: what is wrong becomes U+FFFD, one for each maximal part of a sequence, as
 * bytes.decode("utf-8", "replace") does. */
#ifndef FASTGW_UTF8_H
#define FASTGW_UTF8_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Length of the sequence at p < end, or minus that of the broken part of one there, or 0 when the text ends inside. */
static inline int u8_sequence(const uint8_t *p, const uint8_t *end)
{
    uint8_t lead = p[0], low = 0x80, high = 0xBF;
    int size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (lead < 0x80)
        return 1;
    if (lead < 0xC2 || lead > 0xF4)
        return -1;
    if (lead == 0xE0)
        low = 0xA0;
    else if (lead == 0xED)
        high = 0x9F;
    else if (lead == 0xF0)
        low = 0x90;
    else if (lead == 0xF4)
        high = 0x8F;
    for (int i = 1; i < size; i++) {
        if (p + i == end)
            return 0;
        if (p[i] < low || p[i] > high)
            return -i;
        low = 0x80;
        high = 0xBF;
    }
    return size;
}

/* Where the valid sequences at p end: at a broken or unfinished one, or at `end`. */
static inline const uint8_t *u8_valid(const uint8_t *p, const uint8_t *end)
{
    while (p < end) {
        uint64_t word;
        int size;
        if (end - p >= 8 && (memcpy(&word, p, 8), !(word & 0x8080808080808080u))) {
            p += 8;
            continue;
        }
        if ((size = u8_sequence(p, end)) <= 0)
            break;
        p += size;
    }
    return p;
}

#endif
