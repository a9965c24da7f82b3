"""The control channel: small news for every process at once, lost without harm.

Each kind has a slower way that does not depend on it: a cancellation is also a column that
heartbeats read; endpoints, keys and pauses are read again every few seconds.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import redis
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from llmqueue_project.config import configuration

log = structlog.get_logger(__name__)
CHANNEL = "llmq:control"


@lru_cache(maxsize=1)
def client() -> redis.Redis:
    url = configuration().redis_url.get_secret_value()
    return redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)


def tell(**news: str) -> None:
    """Publish news, for example `tell(cancel="<job id>")`, from synchronous code."""
    try:
        client().publish(CHANNEL, json.dumps(news))
    except RedisError as error:
        log.info("control.not_told", error=str(error))


async def listen(client: Redis, channel: str, receive: Callable[[bytes], Any]) -> None:
    """Call `receive` with every message of a channel, reconnecting for ever."""
    while True:
        try:
            async with client.pubsub(ignore_subscribe_messages=True) as subscription:
                await subscription.subscribe(channel)
                while True:
                    message = await subscription.get_message(timeout=10)
                    if message is not None:
                        receive(message["data"])
        except RedisError as error:
            log.info("control.reconnects", channel=channel, error=str(error))
            await asyncio.sleep(0.2)
