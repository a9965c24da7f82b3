"""Tickets for what synchronous code has queued, once its transaction is committed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import structlog
from django.db import transaction
from redis.exceptions import RedisError

from scheduling.tickets import messages as tickets
from stores import control

log = structlog.get_logger(__name__)
# Of one level at once; the sweep publishes the rest.
MOST_TICKETS = 10_000


def publish_on_commit(levels: Sequence[int]) -> None:
    """Publish a ticket for each of these levels once the transaction is committed."""
    counts = tickets.counted(levels)
    if counts:
        transaction.on_commit(partial(_publish, counts))


def _publish(counts: dict[str, int]) -> None:
    wanted = {level: min(count, MOST_TICKETS) for level, count in counts.items()}
    try:
        pipe: Any = control.client().pipeline(transaction=False)
        for level, messages in tickets.pushes(wanted):
            pipe.lpush(level, *messages)
        pipe.execute()
    except RedisError as error:
        # The rows are committed; the sweep publishes what is missing.
        log.warning("tickets.not_published", error=str(error))
