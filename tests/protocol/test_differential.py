"""Nothing is accepted that nginx refuses, unless the table says why."""

import pytest

from tests.protocol import differential


@pytest.mark.skipif(differential.NGINX is None, reason="nginx is not installed")
def test_what_nginx_refuses_is_accepted_only_for_a_reason() -> None:
    found = differential.differences()
    assert [(vector.id, ours, theirs) for vector, ours, theirs in found if not vector.reason] == []
