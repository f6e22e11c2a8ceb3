"""Generated chat documents in any spelling: requests, answers and stream chunks, most of them well-formed."""

from typing import Any

from hypothesis import strategies as st

from tests.support.splice_reference import Members, Number, dump

KEYS = ("a", "é", "content", "role", "model", "reasoning", "usage", "x\ny", 'q"', "")
texts = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(["", "x" * 70, "好" * 20, "\\\n" * 20])
numbers = st.sampled_from(["0", "7", "-0", "12", "9007199254740992", "9007199254740993", "1" * 30, "1.50", "-3", "2e5"])
counters = st.none() | numbers.map(Number)
scalars = st.one_of(st.none(), st.booleans(), texts, numbers.map(Number))


def members(fields: dict[str, Any], extra: Any, required: tuple[str, ...] = ()) -> Any:
    """Objects with some of the fields (all the required ones) and unknown members around them, in any order."""
    optional = {name: value for name, value in fields.items() if name not in required}
    known = st.fixed_dictionaries({name: fields[name] for name in required}, optional=optional)
    unknown = st.dictionaries(st.sampled_from(KEYS).filter(lambda key: key not in fields), extra, max_size=2)
    return st.tuples(known, unknown).flatmap(
        lambda both: st.permutations([*both[0].items(), *both[1].items()]).map(Members)
    )


trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3).map(lambda found: Members(found.items()))
    ),
    max_leaves=6,
)

messages = members(
    {
        "role": texts,
        "content": st.none() | texts | st.lists(trees, max_size=2),
        "name": st.none() | texts,
        "tool_call_id": texts,
    },
    trees,
    ("role",),
)
requests = members(
    {
        "model": texts,
        "messages": st.lists(messages, max_size=3),
        "stream": st.none() | st.booleans(),
        "stream_options": st.none() | members({"include_usage": st.booleans() | st.none()}, trees),
        "temperature": st.none() | numbers.map(Number),
        "max_tokens": st.none() | st.integers(0, 2**32 - 1).map(lambda n: Number(str(n))),
        "n": st.just(Number("2")),
    },
    trees,
    ("model", "messages"),
)

functions = members({"name": texts | scalars, "arguments": texts | scalars}, scalars)
calls = {
    "tool_calls": st.none()
    | st.lists(members({"function": functions | scalars, "id": texts}, scalars) | trees, max_size=3),
    "function_call": functions | scalars,
}
reasonings = {"reasoning": st.none() | texts | trees, "reasoning_content": st.none() | texts}
usages = members(
    {
        "prompt_tokens": counters,
        "completion_tokens": counters,
        "total_tokens": counters,
        "prompt_cache_hit_tokens": counters,
        "prompt_tokens_details": scalars | members({"cached_tokens": counters}, scalars),
        "completion_tokens_details": scalars | members({"reasoning_tokens": counters}, scalars),
    },
    scalars,
)
finish_reasons = st.none() | st.sampled_from(["stop", "length", "tool_calls"])
parts = members({"role": texts, "content": st.none() | texts, **calls, **reasonings}, trees, ("role",))
choices = members(
    {
        "message": parts,
        "finish_reason": finish_reasons,
        "logprobs": trees,
        "index": st.just(Number("0")),
        "text": texts | scalars,
    },
    trees,
    ("message",),
)
answers = members(
    {"id": texts, "model": texts, "choices": st.lists(choices, max_size=3), "usage": st.none() | usages},
    trees,
    ("id", "model", "choices"),
)

deltas = members(
    {
        "role": st.none() | texts,
        "content": st.none() | texts,
        "a": members({"b": texts | scalars}, scalars),
        **calls,
        **reasonings,
    },
    scalars,
)
chunk_choices = (
    members({"delta": deltas | scalars, "finish_reason": finish_reasons, "text": texts | scalars}, scalars) | scalars
)
chunks = members(
    {"id": texts, "model": texts, "choices": st.lists(chunk_choices, max_size=2), "usage": st.none() | usages | texts},
    trees,
    ("id", "model", "choices"),
)
in_band = members({"error": texts | trees, "id": texts}, scalars)


def spelt(strategy: Any) -> Any:
    """The documents as bytes in one of several spellings."""
    spaces = st.sampled_from(["", " ", "\n ", "\t\r"])
    return st.tuples(strategy, st.booleans(), spaces).map(lambda found: dump(*found).encode())
