"""docs/configuration.md, from the types in fastgw/config/schema.py and fastgw/resources/models.py.

    python scripts/reference.py           writes the page
    python scripts/reference.py --check   exits 1 when the page is not what would be written

Keys, types, defaults and bounds come from the types; the meaning of each key and whether this version acts on it from
scripts/reference.toml, which has to name every key exactly once.
"""

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
from fastgw.resources.kinds import KINDS  # noqa: E402

PAGE = ROOT / "docs" / "configuration.md"
WORDS = ROOT / "scripts" / "reference.toml"
NO_EFFECT = "none"
REFUSED = "refused"


class Key(NamedTuple):
    """One row. `default` is "" for a required key."""

    path: str
    type: str
    default: str


def keys(struct: type[Struct]) -> list[Key]:
    """Every key of a document in the order of the types; sections before their members."""
    # In config.yaml null unsets every key, so it is not worth a word at each of them.
    return list(_walk(struct, "", nulls=struct is not Config))


def _walk(struct: type[Struct], prefix: str, nulls: bool) -> Iterator[Key]:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    for field in info.fields:
        path = prefix + field.encode_name
        kind, extra = _bare(field.type)
        name = _name(kind, extra) + (" or null" if nulls and extra.get("nullable") else "")
        inner, suffix = kind, ""
        if isinstance(kind, inspect.VarTupleType):
            inner, suffix = _bare(kind.item_type)[0], "[]"
        elif isinstance(kind, inspect.DictType):
            inner, suffix = _bare(kind.value_type)[0], ".<name>"
        if isinstance(inner, inspect.StructType):
            # A section that is there by default says nothing that its members do not say.
            if suffix or _default(field) != "section":
                yield Key(path, name, _default(field))
            yield from _walk(inner.cls, f"{path}{suffix}.", nulls)
        else:
            yield Key(path, name, _default(field))


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
        return " or ".join(_name(option, extra) for option in kind.types)
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
        return f"text matching `{kind.pattern}`, at most {kind.max_length}"
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


def disagreements(document: str, struct: type[Struct]) -> list[str]:
    """Keys without a meaning, meanings without a key."""
    words, paths = read_words(document), [key.path for key in keys(struct)]
    missing = [f"{document}: no meaning for {path}" for path in paths if path not in words.meanings]
    stale = [path for path in words.meanings if path not in paths]
    stale += [entry for entry in words.effects if not any(covers(entry, path) for path in paths)]
    return missing + [f"{document}: no key {path}" for path in stale]


def covers(entry: str, path: str) -> bool:
    """Whether `path` is the key `entry` or below it."""
    return path == entry or path.startswith((f"{entry}.", f"{entry}["))


def table(words: Words, rows: Iterable[Key]) -> list[str]:
    """Keys as Markdown."""
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key in rows:
        note = {NO_EFFECT: "*No effect.* ", REFUSED: "*Refused.* "}.get(words.effect(key.path), "")
        default = key.default or "**required**"
        cells = (f"`{key.path}`", key.type, default, note + words.meanings[key.path])
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


def documents() -> Iterator[tuple[str, type[Struct]]]:
    """Every described document with its type."""
    yield "config", Config
    yield from ((kind.name, kind.struct) for kind in KINDS if kind.struct is not None)


def render() -> str:
    """The whole page. Raises ValueError when the words and the types do not agree."""
    wrong = [line for document, struct in documents() for line in disagreements(document, struct)]
    if wrong:
        raise ValueError("\n".join(wrong))
    prose = tomllib.loads(WORDS.read_text(encoding="utf-8"))["prose"]
    unserved = ", ".join(f"`{kind.name}`" for kind in KINDS if kind.struct is None)
    lines = [
        prose["top"].strip(),
        "",
        *config_tables(),
        "",
        prose["resources"].strip().format(unserved=unserved),
    ]
    for kind in KINDS:
        if kind.struct is not None:
            lines += [
                "",
                f"### {kind.name}",
                "",
                prose[kind.name].strip(),
                "",
                *table(read_words(kind.name), keys(kind.struct)),
            ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """The exit code."""
    try:
        page = render()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments == ["--check"]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page:
            return 0
        print(f"{PAGE.relative_to(ROOT)} is stale: run python scripts/reference.py", file=sys.stderr)
        return 1
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
