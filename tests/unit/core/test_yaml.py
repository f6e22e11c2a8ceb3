"""The YAML dialect: one table of scalars, one of refusals, and a property that nothing but YamlError escapes."""

import json
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fastgw.core import yaml as dialect
from fastgw.core.yaml import MAX_DEPTH, MAX_NODES, YamlError, load_documents

SCALARS = [
    ("true", True),
    ("True", True),
    ("FALSE", False),
    ("yes", "yes"),
    ("No", "No"),
    ("on", "on"),
    ("off", "off"),
    ("y", "y"),
    ("null", None),
    ("~", None),
    ("", None),
    ("nULL", "nULL"),
    ("0", 0),
    ("-12", -12),
    ("+12", 12),
    ("010", 10),
    ("0x1F", 31),
    ("0o17", 15),
    ("017", 17),
    ("-0x1F", "-0x1F"),
    ("0b11", "0b11"),
    ("1_000", "1_000"),
    ("1:30", "1:30"),
    ("190:20:30", "190:20:30"),
    ("1.5", 1.5),
    (".5", 0.5),
    ("5.", 5.0),
    ("1e3", 1000.0),
    ("-1.5E-2", -0.015),
    ("1.2.3", "1.2.3"),
    ("e3", "e3"),
    (".", "."),
    ("-", [None]),
    ("2024-01-01", "2024-01-01"),
    ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
    ("'1'", "1"),
    ('"true"', "true"),
    ("'~'", "~"),
    ("|-\n  1", "1"),
    ("!!str 1", "1"),
    ("! 1", "1"),
    ('!!int "1"', 1),
    ("!!float 1", 1.0),
    ("!!null null", None),
    ("!!map {a: 1}", {"a": 1}),
    ("!!seq [1]", [1]),
    ("<<", "<<"),
    ("日本", "日本"),
    ("18446744073709551616", 2**64),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalar(text: str, value: object) -> None:
    (document,) = load_documents(f"k: {text}\n" if text != "-" else "k:\n- \n")
    assert document == {"k": value}
    assert isinstance(document, dict)
    assert type(document["k"]) is type(value)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("a: 1\na: 2", "duplicate mapping key at line 2 column 1"),
        ("a: {b: 1, c: 2, b: 3}", "duplicate mapping key"),
        ("1: a", "mapping key is not a string"),
        ("true: a", "mapping key is not a string"),
        ("null: a", "mapping key is not a string"),
        ("? [a]\n: b", "mapping key is not a string"),
        ("? {a: b}\n: b", "mapping key is not a string"),
        ("a: .inf", "not finite"),
        ("a: -.Inf", "not finite"),
        ("a: .NaN", "not finite"),
        ("a: 1e999", "not finite"),
        ("a: !!float .inf", "not finite"),
        ("a: !custom b", "unsupported tag"),
        ("a: !!binary aGk=", "unsupported tag"),
        ("a: !!timestamp 2024-01-01", "unsupported tag"),
        ("a: !!int x", "unsupported tag"),
        ("a: !!set {a}", "unsupported tag"),
        ("a: !!python/object:os.system {}", "unsupported tag"),
        ("a: *b", "anchor that is not defined"),
        ("a: &a [*a]", "not complete"),
        ("a: &x 1\n---\nb: *x", "anchor that is not defined"),
        ("a: [1", "at line"),
        ("a: b: c", "mapping values are not allowed"),
        ("a: 'b", "at line"),
        ("\ta: 1", "at line"),
        ("a: \x01", "character that YAML does not allow"),
        ("a: \ud800", "character that YAML does not allow"),
        ("a: " + "9" * 5000, "unacceptable scalar"),
        ("[" * (MAX_DEPTH + 1), "nesting is deeper"),
        ("[" * 100_000, "nesting is deeper"),
        ("- " * 5000 + "a", "nesting is deeper"),
    ],
)
def test_refused(text: str, fragment: str) -> None:
    with pytest.raises(YamlError, match=fragment):
        load_documents(text)


def test_merge_keys_are_ordinary_keys() -> None:
    assert load_documents("base: &b {a: 1}\nuse:\n  <<: *b\n  c: 2") == [
        {"base": {"a": 1}, "use": {"<<": {"a": 1}, "c": 2}}
    ]


def test_aliases_share_values_and_can_be_keys() -> None:
    (document,) = load_documents("a: &x [1, {b: 2}]\nc: *x\nd: &k e\n? *k\n: f")
    assert document == {"a": [1, {"b": 2}], "c": [1, {"b": 2}], "d": "e", "e": "f"}


def test_alias_expansion_is_bounded() -> None:
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(YamlError, match="after alias expansion"):
        load_documents("\n".join(lines))


def test_alias_nesting_counts_as_depth() -> None:
    lines = ["l0: &l0 [x]", *(f"l{n}: &l{n} [*l{n - 1}]" for n in range(1, MAX_DEPTH + 2))]
    with pytest.raises(YamlError, match="nesting is deeper"):
        load_documents("\n".join(lines))
    assert load_documents("\n".join(lines[: MAX_DEPTH - 2]))


def test_documents_are_counted_not_chosen() -> None:
    assert load_documents("") == []
    assert load_documents("# only a comment\n") == []
    assert load_documents("---\n") == [None]
    assert load_documents("a: 1\n---\nb: 2\n...\n") == [{"a": 1}, {"b": 2}]


def test_nonfinite_on_request() -> None:
    (document,) = load_documents("a: [.inf, -.inf, .nan]", nonfinite=True)
    assert isinstance(document, dict)
    assert document["a"][:2] == [math.inf, -math.inf]
    assert math.isnan(document["a"][2])


def test_messages_do_not_quote_the_text() -> None:
    canary = "canary5f1d"
    for text in (f"a: *{canary}", f"a: !{canary} b", f"a: '{canary}", f"a: [{canary}: x: {canary}", f"{canary}\na: 1"):
        with pytest.raises(YamlError) as info:
            load_documents(text)
        assert canary not in str(info.value)


@pytest.mark.parametrize("text", ["a: [1, {b: ~}, 0x1f, 'q', \"\\u00e9\"]\nc: &x {d: e}\nf: *x", 'a: "\\ud83d\\ude00"'])
def test_the_pure_python_parser_gives_the_same(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome() -> object:
        try:
            return load_documents(text)
        except YamlError:
            return "refused"

    expected = outcome()
    monkeypatch.setattr(dialect, "_LOADER", yaml.SafeLoader)
    monkeypatch.setattr(dialect, "_HAVE_LIBYAML", False)
    assert outcome() == expected


def test_the_pure_python_parser_does_not_quote_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialect, "_LOADER", yaml.SafeLoader)
    monkeypatch.setattr(dialect, "_HAVE_LIBYAML", False)
    for text in ('a: "\\canary5f1d"', "a: !canary5f1d!x b", 'a: "\\ud800"'):
        with pytest.raises(YamlError) as info:
            load_documents(text)
        assert "canary" not in str(info.value)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_pyyaml_writes_reads_back(value: object) -> None:
    (document,) = load_documents(yaml.safe_dump({"v": value}, default_style='"', width=10_000))
    assert document == {"v": value}


@given(VALUES, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_json_reads_back(value: object, ascii: bool, indent: int | str | None) -> None:
    for document in ({"v": value}, [value]):
        text = json.dumps(document, ensure_ascii=ascii, indent=indent)
        assert load_documents(f"\n {text}\r\n") == [document]


def test_json_that_parsers_of_yaml_refuse() -> None:
    long = "k" * 2000
    text = f'{{"a": "\\ud83d\\ude00", "\x7f": "\x9f", "{long}": "\\/"}}'
    assert load_documents(text) == [{"a": "\U0001f600", "\x7f": "\x9f", long: "/"}]
    nested = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert load_documents(nested) == [json.loads(nested)]


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ('{"a": {"b": 1, "b": 1}}', "duplicate mapping key at line 1 column 16"),
        ('{"a": "\\ud83d"}', "at line 1"),
        ('{"a": 1e999}', "number is not finite"),
        ('{"a": ' + "9" * 5000 + "}", "unacceptable scalar"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nesting is deeper"),
        ("[" * 100_000 + "]" * 100_000, "nesting is deeper"),
        ('{"a": 1,, "b": 2}', "at line 1"),
    ],
)
def test_json_is_refused_in_the_same_words(text: str, fragment: str) -> None:
    with pytest.raises(YamlError, match=fragment):
        load_documents(text)


def test_what_only_looks_like_json_is_yaml() -> None:
    assert load_documents("{a: NaN, b: [0x1f, 'c'],}") == [{"a": "NaN", "b": [31, "c"]}]
    assert load_documents('{"a": NaN}') == [{"a": "NaN"}]
    assert load_documents("{}\n---\n{}") == [{}, {}]


@given(st.text(alphabet="ab01:-?[]{},&*!|>'\"%#~.<\\ \n\t$é", max_size=60))
def test_only_yaml_errors_escape(text: str) -> None:
    try:
        load_documents(text)
    except YamlError:
        pass


def test_the_size_of_a_document_is_not_bounded() -> None:
    """Only what aliases make of it is: a file may define a hundred thousand keys."""
    count = MAX_NODES + 1
    (items,) = load_documents(f"[{'x,' * count}]")
    assert isinstance(items, list)
    assert len(items) == count
