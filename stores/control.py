"""The control channel: small news for every process at once, lost without harm.

Each kind has a slower way that does not depend on it: a cancellation is also a column that
heartbeats read; endpoints, keys and pauses are read again every few seconds.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import redis
import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as LateError
from redis.retry import Retry

from llmqueue_project.config import configuration

log = structlog.get_logger(__name__)
CHANNEL = "llmq:control"
# A quiet subscription is asked for a sign of life after this time, and given up after twice this.
QUIET_SECONDS = 5.0
RECONNECT_SECONDS = 0.2
# For synchronous clients: a command whose connection had broken is sent again at once, and one that
# got no answer is not. redis-py's own way is three times, with pauses of up to 10 s.
AGAIN = Retry(NoBackoff(), 1, supported_errors=(LostError,))


@lru_cache(maxsize=1)
def client() -> redis.Redis:
    """For synchronous code. A request sends several commands and is answered within 5 s."""
    url = configuration().redis_url.get_secret_value()
    return redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1, retry=AGAIN)


def tell(**news: str) -> None:
    """Publish news, for example `tell(cancel="<job id>")`, from synchronous code."""
    try:
        client().publish(CHANNEL, json.dumps(news))
    except RedisError as error:
        log.info("control.not_told", error=str(error))


async def listen(
    client: Redis,
    channel: str,
    receive: Callable[[bytes], Any],
    *,
    quiet_seconds: float = QUIET_SECONDS,
) -> None:
    """Call `receive` with every message of a channel, reconnecting for ever.

    Messages that are published while the connection is broken are lost. A connection that breaks
    without a sign, because packets are dropped, is noticed within twice `quiet_seconds`. A message
    that `receive` cannot take is logged and passed over.
    """
    is_lost = False
    while True:
        try:
            async with client.pubsub() as subscription:
                await subscription.subscribe(channel)
                is_lost = False
                while True:
                    message = await _next(subscription, quiet_seconds)
                    if message["type"] == "message":
                        _hand_over(message["data"], channel, receive)
        except (RedisError, OSError) as error:
            # An outage is one line, not one for each attempt.
            log.log(
                logging.DEBUG if is_lost else logging.INFO,
                "control.reconnects",
                channel=channel,
                error=str(error),
            )
            is_lost = True
            await asyncio.sleep(RECONNECT_SECONDS)


def _hand_over(message: bytes, channel: str, receive: Callable[[bytes], Any]) -> None:
    try:
        receive(message)
    except Exception:
        log.exception("control.not_received", channel=channel)


async def _next(subscription: PubSub, quiet_seconds: float) -> dict[str, Any]:
    """The next message, or the answer to a ping.

    Raises:
        redis.RedisError: the connection is broken, or silent for twice `quiet_seconds`.
    """
    message: dict[str, Any] | None = await subscription.get_message(timeout=quiet_seconds)
    if message is None:
        # Nothing was published, or the connection is dead: redis-py takes the socket's ETIMEDOUT
        # for the end of its own timeout, and then returns None at once, at every further call.
        await subscription.ping()
        message = await subscription.get_message(timeout=quiet_seconds)
    if message is None:
        raise LateError("Valkey is silent")
    return message
