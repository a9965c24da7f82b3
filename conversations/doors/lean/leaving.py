"""How does a web process leave? It says so first, and lets what runs go on for a set time.

`/health/ready` is 503 at once, and requests are still taken until balancers have seen it. Then the
server takes no more, and what still runs at the end of its time is cut: it ends with an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from conversations.doors.lean.refusals import Refusal

log = structlog.get_logger(__name__)
# Another process takes the next try at once.
RETRY_SECONDS = 1.0


class ShuttingDown(Refusal):
    """The process leaves in the middle of an answer.

    Args:
        advice: what the client may do.
    """

    def __init__(self, advice: str = "try again") -> None:
        message = f"this server is shutting down; {advice}"
        super().__init__(503, "shutting_down", message, retry_after_seconds=RETRY_SECONDS)


class Leaving:
    """A web process's way out, and the held connections that it cuts at its end.

    Attributes:
        begun: whether it leaves.
    """

    def __init__(self) -> None:
        self.begun = False
        self._is_over = False
        self._works: set[asyncio.Future[Any]] = set()

    def hold(self, work: asyncio.Future[Any]) -> None:
        """Work that is cancelled where it has not ended in time; nothing else cancels it."""
        self._works.add(work)
        if self._is_over:
            work.cancel()

    def release(self, work: asyncio.Future[Any]) -> None:
        self._works.discard(work)

    async def leave(
        self, *, accept_seconds: float, grace_seconds: float, stop_accepting: Callable[[], None]
    ) -> None:
        """Take requests a while longer, let them run for `grace_seconds` more, cut the rest."""
        self.begun = True
        log.info("web.leaving", held=len(self._works))
        await asyncio.sleep(accept_seconds)
        stop_accepting()
        await asyncio.sleep(grace_seconds)
        self._is_over = True
        if self._works:
            log.warning("web.cut", held=len(self._works))
        for work in [*self._works]:
            work.cancel()
