"""The metrics and status listener: Prometheus text, readiness and configuration state, without authentication."""

import asyncio
from typing import Any, Protocol

import orjson

from fastgw.http.pages import Page, get_only
from fastgw.runtime.overview import JSON, Overview, models_status
from fastgw.state.board import Board
from fastgw.telemetry.exposition import Exposition

CATCH_UP_SECONDS = 0.2


class ConfigStatus(Protocol):
    """What a source knows of its loads."""

    async def document(self) -> dict[str, Any]:
        """The body of `GET /status/config`."""

    async def refresh(self) -> None:
        """Bring the metrics up to date."""


class StatusPages:
    """The pages by path, made in the supervisor's own loop."""

    def __init__(
        self, metrics_path: str, exposition: Exposition, state: ConfigStatus, board: Board, overview: Overview
    ) -> None:
        self._exposition = exposition
        self._state = state
        self._board = board
        self._overview = overview
        self.answer = get_only(
            {
                b"/status/config": self._config,
                b"/status/ready": self._ready,
                b"/status/models": self._models,
                metrics_path.encode(): self._metrics,
            }
        )

    async def _metrics(self) -> Page:
        # A worker's counters are in shared memory at once; what new ones mean arrives over its link.
        for _ in range(int(CATCH_UP_SECONDS / 0.002)):
            if not self._exposition.behind():
                break
            await asyncio.sleep(0.002)
        await self._state.refresh()
        return Page(200, "text/plain; version=0.0.4", self._exposition.render())

    async def _config(self) -> Page:
        return Page(200, JSON, orjson.dumps(await self._state.document()))

    async def _models(self) -> Page:
        return models_status(self._overview)

    async def _ready(self) -> Page:
        if self._board.ready():
            return Page(200, "text/plain; charset=utf-8", b"ok")
        return Page(503, "text/plain; charset=utf-8", b"no configuration available")
