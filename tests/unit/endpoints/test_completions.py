"""What a whole text completion says about itself."""

import pytest

from fastgw.endpoints.completions import ended
from fastgw.endpoints.members import NativeAnswer
from fastgw.providers.canonical import Usage


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        ('[{"text":"a","finish_reason":"length"},{"finish_reason":"stop"}]', "length"),
        ('[{"text":"a","finish_reason":null}]', ""),
        ("[7]", ""),
        ("[]", ""),
        ("{}", ""),
    ],
)
def test_why_it_ended(choices: str, reason: str) -> None:
    found = NativeAnswer(f'{{"choices":{choices}}}'.encode(), "", "", Usage(1, 2, 3), ended)
    assert found.finish_reason == reason
    assert (found.prompt_tokens, found.completion_tokens, found.total_tokens) == (1, 2, 3)
