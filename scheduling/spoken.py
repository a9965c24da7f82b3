"""Which lost attempts have sent text to their client? Their streams in Valkey are the witness.

A worker appends to a job's stream before it tells the web process, so a client has nothing that is
not there. Until the first content a stream has the starts of its attempt and no more
(`execution/race.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from scheduling.outbox import DELTA, USAGE, stream_key

PATIENCE_SECONDS = 2.0
# The start, that of a hedge, and what follows.
FIRST_ENTRIES = 3


async def spoken(client: Redis, attempts: Mapping[UUID, int]) -> set[UUID]:
    """Those of these jobs whose attempt of this number has sent text.

    Raises:
        redis.RedisError, TimeoutError: Valkey is away.
    """
    asked = [
        client.xrange(stream_key(job_id), min=str(attempt), max=str(attempt), count=FIRST_ENTRIES)
        for job_id, attempt in attempts.items()
    ]
    async with asyncio.timeout(PATIENCE_SECONDS):
        found = await asyncio.gather(*asked)
    return {job_id for job_id, entries in zip(attempts, found, strict=True) if _has_text(entries)}


def _has_text(entries: Any) -> bool:
    return any(fields[b"k"].decode() in (DELTA, USAGE) for _, fields in entries)
