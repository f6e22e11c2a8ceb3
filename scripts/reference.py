"""docs/configuration.md and docs/schemas/, from the types in fastgw/config/schema.py and fastgw/resources/, and
docs/metrics.md.

    python scripts/reference.py           writes them
    python scripts/reference.py --check   exits 1 when they are not what would be written

Keys, types, defaults and bounds come from the types; the meaning of each key and whether this version acts on it from
scripts/reference.toml, which has to name every key exactly once.
"""

import json
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct, inspect

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fastgw.config.schema import Config  # noqa: E402 (the page describes this tree, not an installed one)
from fastgw.resources.base import INTERNAL_TAG  # noqa: E402
from fastgw.resources.kinds import KINDS, STORED_ONLY  # noqa: E402
from scripts import metrics_page  # noqa: E402
from scripts.json_schema import schema  # noqa: E402

PAGE = ROOT / "docs" / "configuration.md"
WORDS = ROOT / "scripts" / "reference.toml"
NO_EFFECT = "none"
REFUSED = "refused"
WHOLE = "*"


class Key(NamedTuple):
    """One row. `default` is "" for a required key. `only`: the tags of the variants that have it, when not all do."""

    path: str
    type: str
    default: str
    only: tuple[str, ...] = ()


def keys(document: Any) -> list[Key]:
    """Every key of a document in the order of the types; sections before their members. `document` is a Struct or a
    union of tagged ones."""
    # In config.yaml null unsets every key, so it is not worth a word at each of them.
    return list(_walk(inspect.type_info(document), "", document is not Config, ()))


def _walk(kind: inspect.Type, prefix: str, nulls: bool, around: tuple[type, ...]) -> Iterator[Key]:
    if isinstance(kind, inspect.UnionType):
        yield from _variants(kind, prefix, nulls, around)
        return
    # Types may contain themselves: once is enough.
    if not isinstance(kind, inspect.StructType) or kind.cls in around:
        return
    if kind.tag_field not in (None, INTERNAL_TAG):
        yield Key(f"{prefix}{kind.tag_field}", f"`{kind.tag}`", "")
    for field in kind.fields:
        path = prefix + field.encode_name
        bare, extra = _bare(field.type)
        name = _name(bare, extra) + (" or null" if nulls and extra.get("nullable") else "")
        inner, suffix = bare, ""
        if isinstance(bare, inspect.VarTupleType):
            inner, suffix = _bare(bare.item_type)[0], "[]"
        elif isinstance(bare, inspect.DictType):
            inner, suffix = _bare(bare.value_type)[0], ".<name>"
        # A section that is there by default says nothing that its members do not say.
        if suffix or not isinstance(inner, inspect.StructType) or _default(field) != "section":
            yield Key(path, name, _default(field))
        yield from _walk(inner, f"{path}{suffix}.", nulls, (*around, kind.cls))


def _variants(kind: inspect.UnionType, prefix: str, nulls: bool, around: tuple[type, ...]) -> Iterator[Key]:
    """The keys of several Structs, each once; the tags are one key."""
    options = [option for option in kind.types if isinstance(option, inspect.StructType)]
    rows: dict[Key, list[str]] = {}
    for option in options:
        others = tuple(other.cls for other in options if other is not option)
        for key in _walk(option, prefix, nulls, (*around, *others)):
            rows.setdefault(key, []).append(str(option.tag))
    tag = f"{prefix}{options[0].tag_field}" if options else ""
    if any(key.path == tag for key in rows):
        yield Key(tag, ", ".join(f"`{option.tag}`" for option in options), "")
    for key, tags in rows.items():
        if key.path != tag:
            full = len(tags) == len(options) or options[0].tag_field == INTERNAL_TAG
            yield key if full else key._replace(only=(*tags, *key.only))


def _bare(kind: inspect.Type) -> tuple[inspect.Type, Mapping[str, Any]]:
    """The type without metadata and `| None`, and what the metadata say; `nullable` when null is admitted."""
    extra: dict[str, Any] = {}
    while True:
        if isinstance(kind, inspect.Metadata):
            extra |= kind.extra or {}
            kind = kind.type
        elif isinstance(kind, inspect.UnionType) and kind.includes_none:
            (kind,) = (option for option in kind.types if not isinstance(option, inspect.NoneType))
            extra.setdefault("nullable", True)
        else:
            return kind, extra


def _name(kind: inspect.Type, extra: Mapping[str, Any]) -> str:
    if isinstance(kind, inspect.StructType):
        return "section"
    if isinstance(kind, inspect.UnionType):
        return " or ".join(dict.fromkeys(_name(option, extra) for option in kind.types))
    if isinstance(kind, inspect.VarTupleType):
        return f"list of {_plural(_name(*_bare(kind.item_type)))}"
    if isinstance(kind, inspect.DictType):
        return f"map of names to {_plural(_name(*_bare(kind.value_type)))}"
    if isinstance(kind, inspect.LiteralType):
        return ", ".join(f"`{value}`" for value in kind.values)
    if isinstance(kind, inspect.IntType):
        return "integer" + _range(kind.ge, kind.le)
    if isinstance(kind, inspect.FloatType):
        return "number" + _range(kind.ge, kind.le)
    if isinstance(kind, inspect.StrType):
        return _text(kind, extra)
    return {inspect.BoolType: "boolean", inspect.AnyType: "any value"}[type(kind)]


def _text(kind: inspect.StrType, extra: Mapping[str, Any]) -> str:
    if extra.get("format") == "date-time":
        return "RFC 3339 time"
    if kind.pattern is not None:
        pattern = kind.pattern.encode("unicode_escape").decode().replace("\\\\", "\\")
        return f"text matching `{pattern}`" + (f", at most {kind.max_length}" if kind.max_length else "")
    if kind.max_length:
        return f"text of {kind.min_length or 0} to {kind.max_length}"
    return "text, not empty" if kind.min_length else "text"


def _range(low: float | None, high: float | None) -> str:
    # The upper bounds of machine integers are no limits that anybody meets.
    high = high if high is not None and high < 2**31 else None
    if low is not None and high is not None:
        return f" {low:g} to {high:g}"
    return f" ≥ {low:g}" if low is not None else ""


def _plural(name: str) -> str:
    words = {"text": "texts", "text, not empty": "texts, none empty", "section": "sections", "any value": "any values"}
    return words.get(name, name.replace("integer", "integers").replace("number", "numbers"))


def _default(field: inspect.Field) -> str:
    if field.required:
        return ""
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if isinstance(value, Struct):
        return "section"
    if value is None:
        return "absent"
    text = msgspec.json.encode(value).decode().replace(",", ", ")
    return f"`{text}`" if text != '""' else "empty"


# ---- the page


class Words(NamedTuple):
    """scripts/reference.toml: what it says about the keys of one document."""

    meanings: dict[str, str]
    effects: dict[str, str]

    def effect(self, path: str) -> str:
        """The longest entry that is the key or a section around it."""
        found = [entry for entry in self.effects if covers(entry, path)]
        return self.effects[max(found, key=len)] if found else ""


def read_words(document: str) -> Words:
    """The words for `config`, or for one collection of a resources file. Raises KeyError when there are none."""
    meanings = tomllib.loads(WORDS.read_text(encoding="utf-8"))[document]
    effects = dict.fromkeys(meanings.pop("_without_effect", []), NO_EFFECT)
    effects |= dict.fromkeys(meanings.pop("_refused", []), REFUSED)
    return Words(meanings, effects)


def disagreements(document: str, struct: Any) -> list[str]:
    """Keys without a meaning, meanings without a key."""
    words, paths = read_words(document), [key.path for key in keys(struct)]
    missing = [f"{document}: no meaning for {path}" for path in paths if path not in words.meanings]
    stale = [path for path in words.meanings if path not in paths]
    stale += [entry for entry in words.effects if entry != WHOLE and not any(covers(entry, path) for path in paths)]
    return missing + [f"{document}: no key {path}" for path in stale]


def covers(entry: str, path: str) -> bool:
    """Whether `path` is the key `entry` or below it."""
    return path == entry or path.startswith((f"{entry}.", f"{entry}["))


def table(words: Words, rows: Iterable[Key]) -> list[str]:
    """Keys as Markdown."""
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key in rows:
        only = f"({', '.join(f'`{tag}`' for tag in key.only)}) " if key.only else ""
        note = {NO_EFFECT: "*No effect.* ", REFUSED: "*Refused.* "}.get(words.effect(key.path), "")
        default = key.default or "**required**"
        cells = (f"`{key.path}`", key.type, default, only + note + words.meanings[key.path])
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def config_tables() -> Iterator[str]:
    """One table for the keys of the top level, then one per section."""
    words = read_words("config")
    sections: dict[str, list[Key]] = {}
    for key in keys(Config):
        sections.setdefault(key.path.partition(".")[0], []).append(key)
    yield from table(words, (rows[0] for rows in sections.values() if len(rows) == 1))
    for name, rows in sections.items():
        if len(rows) > 1:
            yield from ("", f"### {name}", "", *table(words, rows))


def documents() -> Iterator[tuple[str, Any]]:
    """Every described document with its type."""
    yield "config", Config
    yield from ((kind.name, kind.struct) for kind in (*KINDS, *STORED_ONLY))


def render() -> str:
    """The whole page. Raises ValueError when the words and the types do not agree."""
    wrong = [line for document, struct in documents() for line in disagreements(document, struct)]
    if wrong:
        raise ValueError("\n".join(wrong))
    prose = tomllib.loads(WORDS.read_text(encoding="utf-8"))["prose"]
    lines = [prose["top"].strip(), "", *config_tables(), "", prose["resources"].strip()]
    for kind in (*KINDS, *STORED_ONLY):
        words = read_words(kind.name)
        note = ["Nothing of this collection has an effect in this version.", ""] if WHOLE in words.effects else []
        lines += ["", f"### {kind.name}", "", prose[kind.name].strip(), "", *note, *table(words, keys(kind.struct))]
    return "\n".join(lines) + "\n"


def files() -> dict[Path, str]:
    """Everything that is written: the pages, and a schema per collection. Raises ValueError as :func:`render` does."""
    schemas = {
        PAGE.parent / "schemas" / f"{kind.name}.schema.json": json.dumps(schema(kind), indent=1) + "\n"
        for kind in (*KINDS, *STORED_ONLY)
    }
    return {PAGE: render(), metrics_page.PAGE: metrics_page.page(), **schemas}


def main(arguments: list[str]) -> int:
    """The exit code."""
    try:
        wanted = files()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if arguments == ["--check"]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is stale: run python scripts/reference.py", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
