"""Writes fastgw/_speedups/uniclass.h: the classes of characters by which the token counter splits text.

The patterns belong to tiktoken, so the classes are those of its regular expression engine: Unicode 16.0, which is what
Python 3.14 knows; with another Python, install unicodedata2 16.0.0. tests/unit/_speedups/test_tokens.py compares
every code point with tiktoken, so a tiktoken that moves on is noticed.
"""

import importlib
import sys
import unicodedata
from pathlib import Path
from typing import Any

VERSION = "16.0.0"
TARGET = Path(__file__).resolve().parent.parent / "fastgw" / "_speedups" / "uniclass.h"
BLOCK = 128  # code points per leaf; 16 classes of 4 bits fill a 64-bit word
ROW = 32  # leaves per row

OTHER, LOWER, UPPER, LETTER, MARK, NUMBER, SPACE, NEWLINE = range(8)
NAMES = ("OTHER", "LOWER", "UPPER", "LETTER", "MARK", "NUMBER", "SPACE", "NEWLINE")
CLASSES = {"Ll": LOWER, "Lu": UPPER, "Lt": UPPER, "Lm": LETTER, "Lo": LETTER}
# White_Space (PropList.txt), which is not a general category.
SPACES = {*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}

HEADER = """/* Character classes of Unicode {version}, written by scripts/unicode_tables.py. Do not edit.
 *
 * LOWER is Ll, UPPER is Lu and Lt, LETTER is Lm and Lo, MARK is M, NUMBER is N, SPACE is White_Space without the
 * two line ends that the patterns name, NEWLINE. Three dependent loads per code point.
 */
#ifndef FASTGW_UNICLASS_H
#define FASTGW_UNICLASS_H

#include <stdint.h>

enum {{ {names} }};

"""
LOOKUP = """/* The class of a code point up to U+10FFFF. */
static inline unsigned uc_class(uint32_t point)
{
    unsigned leaf = UC_ROWS[UC_TOP[point >> 12]][point >> 7 & 31];
    return UC_LEAVES[leaf][point >> 4 & 7] >> (point & 15) * 4 & 15;
}

#endif
"""


def database() -> Any:
    """Return a module like unicodedata that knows exactly VERSION; raises SystemExit when there is none."""
    if unicodedata.unidata_version == VERSION:
        return unicodedata
    try:
        other = importlib.import_module("unicodedata2")
    except ImportError:
        other = unicodedata
    if other.unidata_version != VERSION:
        sys.exit(f"needs Unicode {VERSION}, have {other.unidata_version}: use Python 3.14 or unicodedata2=={VERSION}")
    return other


def class_of(data: Any, point: int) -> int:
    if point in SPACES:
        return NEWLINE if point in (10, 13) else SPACE
    category = str(data.category(chr(point)))
    if category[0] == "M":
        return MARK
    return NUMBER if category[0] == "N" else CLASSES.get(category, OTHER)


def intern(pool: dict[tuple[int, ...], int], item: tuple[int, ...]) -> int:
    return pool.setdefault(item, len(pool))


def wrapped(numbers: tuple[int, ...], indent: str, width: int = 120) -> str:
    lines, line = [], indent
    for number in numbers:
        if len(line) + len(str(number)) + 1 > width:
            lines.append(line)
            line = indent
        line += f"{number},"
    return "\n".join([*lines, line])


def render(data: Any) -> str:
    leaves: dict[tuple[int, ...], int] = {}
    rows: dict[tuple[int, ...], int] = {}
    ids = []
    for start in range(0, 0x110000, BLOCK):
        classes = [class_of(data, point) for point in range(start, start + BLOCK)]
        words = (sum(classes[i + k] << 4 * k for k in range(16)) for i in range(0, BLOCK, 16))
        ids.append(intern(leaves, tuple(words)))
    top = tuple(intern(rows, tuple(ids[i : i + ROW])) for i in range(0, len(ids), ROW))
    if max(len(leaves), len(rows)) > 256 + 256 or len(rows) > 256:
        raise SystemExit("the tables no longer fit their types")
    names = ", ".join(f"UC_{name}" for name in NAMES)
    parts = [HEADER.format(version=VERSION, names=names)]
    parts.append(f"static const uint8_t UC_TOP[{len(top)}] = {{\n{wrapped(top, '    ')}\n}};\n\n")
    parts.append(f"static const uint16_t UC_ROWS[{len(rows)}][{ROW}] = {{\n")
    parts += [f"    {{{','.join(map(str, row))}}},\n" for row in rows]
    parts.append(f"}};\n\nstatic const uint64_t UC_LEAVES[{len(leaves)}][{BLOCK // 16}] = {{\n")
    parts += [f"    {{{','.join(hex(word) for word in leaf)}}},\n" for leaf in leaves]
    parts.append("};\n\n")
    return "".join(parts) + LOOKUP


if __name__ == "__main__":
    TARGET.write_text(render(database()), encoding="ascii")
