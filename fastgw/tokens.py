"""Token counts as a library call, with the vocabularies that the gateway estimates with: `count("Hello", "gpt-4o")`."""

from fastgw.core import tables
from fastgw.policy.estimate import encoding_for


def count(text: str | bytes, model: str) -> int:
    """Count the tokens of a text exactly as tiktoken's `encode_ordinary` does for the vocabulary of `model`.

    Bytes are UTF-8, in which what is wrong counts as U+FFFD. Names of special tokens count as ordinary text, and an
    unknown model has `cl100k_base`. The first call for a vocabulary takes up to 50 ms and 9 MB. Linear in the text,
    thread-safe.
    """
    return tables.load(encoding_for(model)).count(text)
