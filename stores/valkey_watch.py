"""Does Valkey do its work? Asked twice a second, so that an outage is told once, and as one.

A write is asked for: a replica and a server without memory answer reads, and take no tickets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)
EVERY_SECONDS = 0.5
# In two parts: a loop that was busy for the first one finds the answer in the second.
PATIENCE_SECONDS = (0.5, 0.5)
KEY, KEPT_SECONDS = "llmq:watch", 60


class ValkeyWatch:
    """Watches a process's Valkey.

    Args:
        while_away: called at each look that finds it away.
    """

    def __init__(self, client: Redis, while_away: Callable[[], None] = lambda: None) -> None:
        self._client = client
        self._while_away = while_away
        self.is_away = False

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY_SECONDS)

    async def look(self) -> None:
        """Ask once; a line is logged when Valkey went, and one when it is back."""
        trouble = await self._trouble()
        if trouble and not self.is_away:
            log.error("valkey.away", address=self._address, error=trouble)
        elif self.is_away and not trouble:
            log.warning("valkey.back", address=self._address)
        self.is_away = bool(trouble)
        if self.is_away:
            self._while_away()

    async def _trouble(self) -> str:
        """What is wrong; empty where Valkey takes a write."""
        asked = asyncio.ensure_future(self._client.set(KEY, 1, ex=KEPT_SECONDS))
        try:
            for seconds in PATIENCE_SECONDS:
                await asyncio.wait([asked], timeout=seconds)
            if not asked.done():
                return "no answer in time"
            await asked
        except (RedisError, OSError) as error:
            return str(error) or type(error).__name__
        finally:
            asked.cancel()
        return ""

    @property
    def _address(self) -> str:
        options = self._client.connection_pool.connection_kwargs
        return str(options.get("path") or f"{options.get('host')}:{options.get('port', 6379)}")
