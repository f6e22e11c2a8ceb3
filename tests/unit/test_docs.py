"""What the documents claim and a program can check: links, names of files and tests, figures, tables."""

import ast
import functools
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.macro import budget
from fastgw.endpoints import serve
from fastgw.resources import notices
from fastgw.resources.kinds import KINDS, STORED_ONLY
from scripts import layers, reference
from tests.protocol.vectors import VECTORS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "bench/README.md"]
)
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
SOURCE = r"(?:fastgw|tests|scripts|bench|config|requirements|docs)/[\w./-]*\.(?:pyx|py|h|sh|md|yaml|toml|lock)"


@functools.cache
def prose(page: str) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))


def block(page: str, name: str) -> list[list[str]]:
    """The cells of the table between two markers, without its header."""
    found = re.search(rf"<!-- {name}: begin -->\n(.*?)<!-- {name}: end -->", (ROOT / page).read_text(), re.DOTALL)
    assert found, f"{page} has no table {name}"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()[2:]]


def anchors(page: Path) -> set[str]:
    """The fragments that headings of a page make."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@functools.cache
def definitions(path: Path) -> set[str]:
    """Names of functions, classes, methods (plain and as Class::method) and constants of a source file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return set(re.findall(r"^\s*(?:def|cdef class|cdef [\w ]+?|class) (\w+)\b", text, re.MULTILINE))
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            members = [item.name for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]
            names |= {node.name, *(f"{node.name}::{member}" for member in members)}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
    return names


@pytest.mark.parametrize("page", PAGES)
def test_links_resolve(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith("https://"):
            continue
        path, _, fragment = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        assert not fragment or fragment in anchors(file), target


@pytest.mark.parametrize("page", PAGES)
def test_named_files_and_functions_exist(page: str) -> None:
    """`path`, `path::name`, and the names of protocol vectors as `path::name[id]`."""
    for path, name, case in re.findall(rf"`({SOURCE})(?:::([\w:]+)(?:\[(.+?)\])?)?`", prose(page)):
        if path == "bench/RESULTS.md":  # made by `make bench`
            continue
        assert (ROOT / path).exists(), path
        assert not name or name in definitions(ROOT / path), f"{path}::{name}"
        assert not case or path == "tests/protocol/test_vectors.py"
        assert not case or case in {vector.id for vector in VECTORS}, case


def test_the_threat_model_names_tests() -> None:
    rows = [line for line in prose("docs/threat-model.md").splitlines() if line.startswith("| ") and "::" in line]
    assert len(rows) >= 20
    for row in rows:
        cell = row.strip("| ").split(" | ")[-1]
        named = rf"`{SOURCE}::[\w:]+(?:\[.+?\])?`"
        assert re.fullmatch(rf"{named}(?:, {named})*", cell), row


PROXY_CORE = [
    *("1", "2", "3", "4.1", "4.2", "4.3", "4.4", "5.1", "5.2", "5.3", "6.1", "6.2", "6.3", "6.4", "6.5", "7.1", "7.2"),
    *("7.3", "8", "9.1", "9.2", "9.3", "10", "11.1", "11.2", "11.3", "11.4", "11.5", "12.1", "12.2", "12.3", "13"),
    *("14.1", "14.2", "14.3", "14.4", "14.5", "14.6", "15.1", "15.2", "15.3", "15.4", "16", "17", "18", "19", "20.1"),
    *("20.2", "20.3", "20.4", "21"),
]
CONFIGURATION = [
    *("1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "2.1", "2.2", "2.3", "2.4", "3.1", "3.2", "3.3", "3.4", "3.5", "3.6"),
    *("3.7", "3.8", "4.1", "4.2", "4.3", "5.1", "5.2", "5.3", "5.4", "5.5", "5.6", "6.1", "6.2", "6.3", "6.4", "6.5"),
    *(f"7.{number}" for number in range(1, 15)),
    *(
        "8.1",
        "8.2",
        "8.3",
        "8.4",
        "8.5",
        "8.6",
        "8.7",
        "9.1",
        "9.2",
        "9.3",
        "9.4",
        "9.5",
        "9.6",
        "10.1",
        "10.2",
        "10.3",
    ),
    *("11", "12.1", "12.2", "12.3", "13", "14"),
]

TRANSLATION = [
    *("1.1", "1.2", "1.3", "2.1", "2.2", "2.3", "2.4", "2.5", "3", "3.1", "4.1", "4.2", "4.3", "5"),
    *("6.1", "6.2", "6.3", "6.4", "6.5", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "7.7", "8", "8.1", "8.2", "8.3"),
    *("8.4", "9", "10.1", "10.2", "10.3", "10.4", "10.5", "10.6", "11", "12", "12.1", "12.2", "12.3", "12.4"),
    *("13.1", "13.2", "13.3", "13.4", "14.1", "14.2", "14.3"),
    *(f"16 B{number}" for number in range(1, 15)),
]


@pytest.mark.parametrize(
    ("page", "sections"),
    [
        ("docs/proxy-core-behaviour.md", PROXY_CORE),
        ("docs/configuration-behaviour.md", CONFIGURATION),
        ("docs/translation-behaviour.md", TRANSLATION),
    ],
)
def test_every_section_has_a_test(page: str, sections: list[str]) -> None:
    rows = block(page, "sections")
    assert [number for number, _, _ in rows] == sections
    for number, _, tests in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::([\w:]+)`", tests)
        assert named, f"§{number} has no test"
        assert tests == ", ".join(f"`{path}::{name}`" for path, name in named), number
        for path, name in named:
            assert name.rpartition("::")[2].startswith("test_"), name
            assert name in definitions(ROOT / path), f"§{number}: {path}::{name}"


def constants() -> Iterator[tuple[str, str, str, str]]:
    for page in PAGES:
        for module, name, value in re.findall(r"`(fastgw(?:\.\w+)+)\.([A-Z][A-Z_]+) = ([\d.]+)`", prose(page)):
            yield page, module, name, value


def test_figures_are_those_of_the_code() -> None:
    found = list(constants())
    assert found
    for page, module, name, value in found:
        assert getattr(importlib.import_module(module), name) == float(value), f"{page}: {module}.{name} = {value}"


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_layers_are_those_of_the_rule(page: str) -> None:
    table = [tuple(re.findall(r"`(\w+)`", row[0])) for row in block(page, "layers")]
    assert table == list(layers.LAYERS)


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md", "CHANGELOG.md"])
def test_the_endpoints_are_those_that_are_served(page: str) -> None:
    served = {
        f"{method} {path.decode()}" for method, table in (("GET", serve.GET), ("POST", serve.POST)) for path in table
    }
    named = set(re.findall(r"`((?:GET|POST) /[^`]*)`", prose(page)))
    probes = {"GET /livez", "GET /readyz"}
    assert named | probes == served | {"GET /v1/models/{id}"}


def test_dependencies_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {row[0].strip("`") for row in block("docs/architecture.md", "dependencies")}
    assert named == {re.match(r"[\w-]+", item)[0] for item in project["dependencies"]}  # type: ignore[index]


def test_budget_is_the_one_that_is_enforced() -> None:
    limits = [row[1] for row in block("docs/architecture.md", "budget")]
    assert limits == [
        f"{budget.CHAT_RATIO} × nginx",
        f"{budget.EVENT_RATIO} × nginx",
        f"{budget.MEGABYTE_MS:g} ms",
        f"{budget.WORKERS_RATIO} ×",
        "0",
        f"{budget.GAP_CADENCES} × the cadence",
        f"{budget.STREAM_KIB * 1024 / 1000:g} kB",
    ]


def test_locks_have_hashes() -> None:
    for lock in (ROOT / "requirements").glob("*.lock"):
        entries = re.split(r"\n(?=\S)", lock.read_text().strip())
        assert entries
        for entry in entries:
            assert re.match(r"[\w.-]+==\S+", entry), f"{lock.name}: {entry[:60]}"
            assert "--hash=sha256:" in entry, f"{lock.name}: {entry[:60]}"


class TestReference:
    def test_the_page_is_current(self) -> None:
        assert reference.main(["--check"]) == 0

    def test_a_stale_page_is_noticed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(reference, "ROOT", tmp_path)
        monkeypatch.setattr(reference, "PAGE", tmp_path / "configuration.md")
        for stale in (None, "# Configuration\n"):
            if stale is not None:
                reference.PAGE.write_text(stale)
            assert reference.main(["--check"]) == 1
            assert "configuration.md is stale" in capsys.readouterr().err
        assert reference.main([]) == 0
        assert reference.main(["--check"]) == 0

    def test_words_and_types_must_agree(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        words = reference.WORDS.read_text()
        missing = words.replace('"proxy.addr" =', '"proxy.address" =')
        words = missing.replace('_refused = ["cache.redis"', '_refused = ["etcd.end", "cache.redis"')
        (tmp_path / "words.toml").write_text(words)
        monkeypatch.setattr(reference, "WORDS", tmp_path / "words.toml")
        assert reference.disagreements("config", reference.Config) == [
            "config: no meaning for proxy.addr",
            "config: no key proxy.address",
            "config: no key etcd.end",
        ]

    @pytest.mark.parametrize("document", [name for name, _ in reference.documents()])
    def test_what_has_no_effect_is_read_nowhere(self, document: str) -> None:
        """Whoever makes a key work has to say so in scripts/reference.toml."""
        loaders = ("config/", "resources/", "mock/", "_speedups/")
        code = [
            path.read_text(encoding="utf-8")
            for path in (ROOT / "fastgw").rglob("*.py")
            if not path.relative_to(ROOT / "fastgw").as_posix().startswith(loaders)
        ]
        for entry in reference.read_words(document).effects:
            names = entry.split(".")[-2:]
            access = re.compile((r"\." if len(names) > 1 else r"\bconfig\.") + re.escape(".".join(names)) + r"\b")
            assert not [found for text in code for found in access.findall(text)], entry

    def test_what_the_operator_is_told_has_no_effect(self) -> None:
        models = (*notices._MODEL_FIELDS, *notices._MODEL_SHAPES)
        for collection, fields in (("models", models), ("api_keys", notices._KEY_FIELDS)):
            words = reference.read_words(collection)
            assert set(fields) == set(words.effects)
        collections = (kind.name for kind in (*KINDS, *STORED_ONLY))
        idle = {name for name in collections if reference.WHOLE in reference.read_words(name).effects}
        assert idle == set(notices._COLLECTIONS)
