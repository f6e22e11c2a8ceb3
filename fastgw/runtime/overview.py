"""The gateway as a whole, for those who look from outside: the state of every model, and what is applied."""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import orjson

from fastgw.http.pages import Page
from fastgw.resources.base import Row
from fastgw.state.board import Board
from fastgw.state.failures import Failures

JSON: Final = "application/json"
SHAPES: Final = ("routing", "ensemble", "semantic")
STATUS: Final = ("ok", "degraded", "unhealthy")
STALE_SECONDS: Final = 300
"""A configuration source that was not heard of for longer makes the gateway degraded."""


class Applied(NamedTuple):
    """The configuration of a store that is served: its revision, and the seconds since the last one was applied."""

    revision: int
    age_seconds: int | None


class Overview:
    """`rows` are the served rows of a collection in its order. `applied` is None where there is no store: file mode."""

    def __init__(
        self,
        board: Board,
        rows: Callable[[str], Iterable[Row[Any]]],
        applied: Callable[[], Applied] | None = None,
    ) -> None:
        self._board = board
        self._rows = rows
        self._applied = applied
        self._failures = Failures(board.named)

    def draining(self) -> bool:
        """Shutdown has begun."""
        return bool(self._board.draining())

    def configured(self) -> bool | None:
        """A configuration has been applied; None in file mode, which does not get as far without one."""
        return None if self._applied is None else bool(self._board.ready())

    def models_status(self) -> list[dict[str, Any]]:
        """Every configured model and its state. O(models)."""
        return [_model_status(row) for row in self._rows("models")]

    def health(self) -> dict[str, Any]:
        """The levels of failure, model by model, and what follows from them. O(models)."""
        models = [
            {"id": row.id, "name": row.value.display_name, "health": self._failures.level(row.value.display_name)}
            for row in self._rows("models")
        ]
        worst = max((model["health"] for model in models), default=0)
        document: dict[str, Any] = {"status": STATUS[worst], "models": models}
        if self._applied is not None:
            revision, age = self._applied()
            if age is None or age > STALE_SECONDS:
                document["status"] = STATUS[max(worst, 1)]
            document["config"] = {"snapshot_revision": revision, "snapshot_age_seconds": age}
        return document


def models_status(overview: Overview) -> Page:
    """The state of every model: the same bytes on the listeners for status and for admin."""
    return Page(200, JSON, orjson.dumps(overview.models_status()))


def _model_status(row: Row[Any]) -> dict[str, Any]:
    shape = next((shape for shape in SHAPES if getattr(row.value, shape, None) is not None), "direct")
    return {
        "id": row.id,
        "display_name": row.value.display_name,
        "kind": shape,
        "status": "healthy" if shape == "direct" else "not_applicable",
    }
