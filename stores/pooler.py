"""Does the database's address lead to PostgreSQL itself?

Statements are prepared and sessions have settings, as in every psycopg pool. A pooler such as
PgBouncer takes the settings away, or refuses them, and in transaction mode it gives each
transaction another session: statements fail then that were prepared in an earlier one.
"""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
from psycopg import AsyncConnection

PATIENCE_SECONDS = 5.0
# PgBouncer's words: "unsupported startup parameter: options", since 1.20 "... in options: ...".
_REFUSED = "unsupported startup parameter"
_ASK = "select setting from pg_settings where name = 'idle_in_transaction_session_timeout'"
_WANTED = "30000"


class PoolerBetween(Exception):
    """DATABASE_URL leads to a pooler that keeps no sessions."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"DATABASE_URL leads to a connection pooler such as PgBouncer ({reason}): give it the "
            "address of PostgreSQL itself. llmqueue has its own pools; their sizes are "
            "LLMQUEUE_WEB__DATABASE_POOL_SIZE and LLMQUEUE_SCHEDULING__DATABASE_POOL_SIZE."
        )


async def refuse_pooler(address: dict[str, Any]) -> None:
    """Open a session as the pools do, and see whether it has their settings.

    A server that is away, or refuses for another reason, is left to the pools.

    Raises:
        PoolerBetween
    """
    if reason := await _taken_away(address):
        raise PoolerBetween(reason)


async def _taken_away(address: dict[str, Any]) -> str:
    """What became of the settings; empty where the session has them."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async with await AsyncConnection.connect(**address) as connection:
                row = await (await connection.execute(_ASK)).fetchone()
    except TimeoutError:
        return ""
    except psycopg.Error as error:
        refusal = str(error).strip().splitlines() or [""]
        return refusal[-1] if _REFUSED in str(error) else ""
    return "" if row == (_WANTED,) else "it drops the session's settings"
