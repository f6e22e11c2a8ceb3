"""The Structs and the published JSON Schemas judge every document alike, strictly and leniently."""

import copy
import json
import os
import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw.resources.decode import Decoded, examine
from fastgw.resources.kinds import find_kind
from scripts.json_schema import schema
from tests.support.documents import VALID
from tests.support.schemas import FILES, Oracle, validator

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "150"))
"""Generated documents per collection. A longer run: ``SCHEMA_EXAMPLES=20000 pytest …``."""

ORACLES = {kind: Oracle(kind) for kind in FILES}

PROBES: list[Any] = [
    *(None, True, False, -1, 0, 1, 4, 5, 7, 8, 99, 100, 255, 256, 300, 301, 399, 400, 599, 600, 5000, 5001),
    *(10000, 10001, 604800, 604801, 1048576, 1048577, -0.5, 0.5, 1.5, -1.5, 5.0, 5.5, 2**31, 2**32, 2**64),
    *(-(2**31) - 1, -(2**63) - 1, "", "a", "A", "-a", "a b", "a/b", "a__b", "a_", "_a", "a\n", "a\xa0b", "\ufeff"),
    *("\x85", "a" * 16, "a" * 17, "a" * 64, "a" * 65, "a" * 120, "a" * 121, "a" * 255, "a" * 256, "a" * 257),
    *("2030-01-01T00:00:00Z", "2030-01-01", "2030-13-01T00:00:00Z", "2030-02-30T00:00:00+01:00", "２030-01-01"),
    *("24:00", "23:59", "24:01", "9:00", "23:59\n", "https://x", "http://x", "http://localhost:1/a", "ftp://x", "/"),
    *("/v1", "/v1x", "/admin/x", "datadoghq.com", "datadoghq.com.evil", "x.aliyuncs.com", "http://minio/x\ny"),
    *("*.a.b", "*.a", "a.*", "authorization", "x-api-key", "X-A", "x-a", "(", "(?=a)", "^a+$", "*"),
    *([], {}, [None], [""], ["a"], ["a", "a"], [500], [{}], {"a": "a"}, {"a": 1}, {"swagger": "2.0"}, ["a"] * 11),
    *(["a"] * 64, ["a"] * 65),
]


def vocabulary(schema: Any) -> tuple[set[str], list[Any]]:
    """Every member name and every enumerated value of a schema."""
    names: set[str] = set()
    values: list[Any] = []

    def visit(node: Any) -> None:
        if isinstance(node, dict):
            names.update(node.get("properties", {}))
            values.extend(node.get("enum", []) + ([node["const"]] if "const" in node else []))
            for inner in node.values():
                visit(inner)
        elif isinstance(node, list):
            for inner in node:
                visit(inner)

    visit(schema)
    return names, values


WORDS = {kind: vocabulary(oracle.schema) for kind, oracle in ORACLES.items()}


def members(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a document: (container, key or index)."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from members(value[key])


def parts(documents: list[Any]) -> dict[str, list[Any]]:
    """By member name the values that it has in valid documents."""
    found: dict[str, list[Any]] = {}
    for container, key in (place for document in documents for place in members(document)):
        if isinstance(key, str):
            found.setdefault(key, []).append(container[key])
    return found


PARTS = {kind: parts(documents) for kind, documents in VALID.items()}


def mutate(kind: str, document: Any, rng: random.Random) -> Any:
    """One change somewhere in a document, in place."""
    names, values = WORDS[kind]
    places = [(None, None), *members(document)]
    container, key = rng.choice(places)
    action = rng.random()
    holder = document if container is None else container[key]
    if action < 0.35 and isinstance(holder, dict):
        name = rng.choice([*sorted(names), "surplus", "node"])
        options = PARTS[kind].get(name, []) * 3 + [rng.choice(PROBES)]
        holder[name] = copy.deepcopy(rng.choice(options))
    elif container is None:
        if document and action < 0.6:
            del document[rng.choice(sorted(document))]
    elif action < 0.55:
        del container[key]
    elif action < 0.65 and isinstance(holder, list) and holder:
        holder.extend(copy.deepcopy(holder) * rng.choice([1, 1, 20]))
    elif action < 0.75 and isinstance(holder, dict | list):
        container[key] = copy.deepcopy(rng.choice([[holder], {"logic": "and", "children": [holder]}]))
    elif action < 0.85 and values:
        container[key] = rng.choice(values)
    else:
        container[key] = copy.deepcopy(rng.choice(PROBES))
    return document


def judged(kind: str, document: Any, *, strict: bool) -> bool:
    """Whether our schema admits it; asserts that what we accept decodes and travels."""
    found = find_kind(kind)
    assert found is not None
    original = copy.deepcopy(document)
    result = examine(found, document, strict=strict)
    if isinstance(result, Decoded):
        row = result.row
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(row), type=found.struct) == row
        return True
    refused = [problem for problem in result if not problem.decode]
    if not refused:
        assert undecodable(original, dict(found.aliases)), (original, result)
    return not refused


def undecodable(document: Any, aliases: dict[str, str]) -> bool:
    """There is a number that no field holds, or a field twice."""
    if any(alias in document and canonical in document for alias, canonical in aliases.items()):
        return True
    numbers = [container[key] for container, key in members(document)]
    return any(
        isinstance(value, int | float) and not isinstance(value, bool) and (value > 255 or value < 0 or value % 1 == 0)
        for value in numbers
    )


@pytest.mark.parametrize("kind", FILES)
def test_valid_documents_are_valid(kind: str) -> None:
    for document in VALID[kind]:
        for strict in (True, False):
            assert ORACLES[kind].reasons(document, strict=strict) == []
            assert judged(kind, copy.deepcopy(document), strict=strict)


@pytest.mark.parametrize("kind", FILES)
def test_generated_documents_are_judged_alike(kind: str) -> None:
    verdicts = []

    @settings(max_examples=EXAMPLES)
    @given(st.sampled_from(VALID[kind]), st.integers(0, 2**64), st.sampled_from([0, 1, 1, 1, 2, 2, 3, 5]))
    def check(start: Any, seed: int, changes: int) -> None:
        document, rng = copy.deepcopy(start), random.Random(seed)
        for _ in range(changes):
            document = mutate(kind, document, rng)
        for strict in (True, False):
            expected = ORACLES[kind].accepts(document, strict=strict)
            assert judged(kind, copy.deepcopy(document), strict=strict) == expected, (strict, json.dumps(document))
            verdicts.append(expected)

    check()
    assert 0.1 < sum(verdicts) / len(verdicts) < 0.98, "the generator no longer gives both kinds of documents"


@pytest.mark.parametrize("kind", FILES)
def test_every_single_change_is_judged_alike(kind: str) -> None:
    """Every member of every valid document: left out, and replaced by a sample of probes that rotates."""
    turn = 0
    for start in VALID[kind]:
        for index in range(len(list(members(start)))):
            for probe in (KeyError, *(PROBES[(turn + step * 7) % len(PROBES)] for step in range(6))):
                document = copy.deepcopy(start)
                container, key = list(members(document))[index]
                if probe is KeyError:
                    del container[key]
                else:
                    container[key] = copy.deepcopy(probe)
                for strict in (True, False):
                    expected = ORACLES[kind].accepts(document, strict=strict)
                    assert judged(kind, copy.deepcopy(document), strict=strict) == expected, (
                        strict,
                        json.dumps(document),
                    )
            turn += 1


@pytest.mark.parametrize("kind", FILES)
def test_our_schemas_admit_what_is_valid_and_refuse_surplus(kind: str) -> None:
    """The ones in docs/schemas/ say less than the published ones, never more."""
    found = find_kind(kind)
    assert found is not None
    ours = validator(schema(found))
    for document in VALID[kind]:
        assert [error.message for error in ours.iter_errors(document)] == []
    if kind not in ("cache_policies", "guardrail_attachments"):
        assert not ours.is_valid({**VALID[kind][0], "surplus": 1})
