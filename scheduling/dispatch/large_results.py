"""How is an answer of many megabytes stored without holding up other jobs?

As one parameter it would be copied several times at once, and every other finish of its group would
wait for it. So it is copied to PostgreSQL piece by piece, on a connection of its own, and the
finish itself, which locks what other finishes need, comes last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from scheduling.dispatch.endings import Finish, finishes, storable
from scheduling.statements import FINISH
from stores.postgres import Connections

LARGE_CHARACTERS = 1024 * 1024
_PIECE = 256 * 1024
_DROP = "delete from scheduling_jobresult where job_id = %(id)s"
_COPY = "copy scheduling_jobresult (job_id, body, text) from stdin"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class _LeaseLost(Exception):
    """Rolls the copied answer back."""


def is_large(outcome: Finish) -> bool:
    return outcome.result is not None and len(outcome.result) > LARGE_CHARACTERS


async def store(connections: Connections, outcome: Finish) -> bool:
    """Store how a job ended, in one transaction; False when its lease was lost.

    Raises:
        psycopg.OperationalError: PostgreSQL is away.
    """
    values = finishes([replace(outcome, result=None, text="")])
    try:
        async with connections.connection() as connection, connection.transaction():
            await connection.execute(_DROP, {"id": outcome.id})
            await _copy(connection, outcome)
            cursor = await connection.execute(FINISH, values)
            if not await cursor.fetchall():
                raise _LeaseLost
    except _LeaseLost:
        return False
    return True


async def _copy(connection: AsyncConnection[Any], outcome: Finish) -> None:
    async with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for piece in _row(outcome.id, outcome.result or "", outcome.text):
            await copy.write(piece)


def _row(job_id: UUID, *texts: str) -> Iterator[str]:
    """One row in COPY's text format, in pieces."""
    yield str(job_id)
    for text in texts:
        yield "\t"
        for at in range(0, len(text), _PIECE):
            piece: str = storable(text[at : at + _PIECE])
            yield piece.translate(_ESCAPES)
    yield "\n"
