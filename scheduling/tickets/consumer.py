"""Celery's consumer, for a broker that may be away for a moment.

It reconnects within a fraction of a second (stock: 2 s, then 4 s, ...), to a broker that takes
writes, and says once that it could not. It lets the gate wake the hub when a slot frees in the
engine's thread.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any

import structlog
from celery import bootsteps
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.consumer.tasks import Tasks
from celery.worker.state import maybe_shutdown
from redis.exceptions import RedisError

from scheduling.tickets.gate import gate
from stores.valkey_watch import KEPT_SECONDS, KEY

log = structlog.get_logger(__name__)
RECONNECT_SECONDS = {"interval_start": 0.1, "interval_step": 0.2, "interval_max": 2.0}
REPLICA_SECONDS = 1.0
CANNOT_CONNECT = "consumer: Cannot connect"


class WakeHub(bootsteps.StartStopStep):
    """A pipe from the gate to the hub: one byte means "ask me again"."""

    requires = (Tasks,)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._read = self._write = -1

    def start(self, parent: Any) -> None:
        if parent.hub is None:
            return
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        parent.hub.add_reader(self._read, self._drain)
        gate.on_open(self._wake)

    def stop(self, parent: Any) -> None:
        gate.on_open(lambda: None)
        if self._read < 0:
            return
        if parent.hub is not None:
            parent.hub.remove(self._read)
        for descriptor in (self._read, self._write):
            os.close(descriptor)
        self._read = self._write = -1

    def _wake(self) -> None:
        try:
            os.write(self._write, b"\0")
        except (BlockingIOError, OSError):  # full: it will wake anyway; closed: nobody sleeps
            return

    def _drain(self) -> None:
        try:
            os.read(self._read, 4096)
        except BlockingIOError:
            return


CeleryBlueprint: Any = CeleryConsumer.Blueprint


class Consumer(CeleryConsumer):
    """The worker's consumer (setting `worker_consumer`)."""

    class Blueprint(CeleryBlueprint):
        default_steps = (*CeleryBlueprint.default_steps, WakeHub)

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, trying for as long as it takes."""
        conn.ensure_connection = partial(conn.ensure_connection, **RECONNECT_SECONDS)
        told = False
        with _one_line():
            while trouble := self._trouble(super().ensure_connected(conn)):
                if not told:
                    log.warning("consumer.broker_takes_no_writes", error=trouble)
                told = True
                # The one that takes them may have another address by the same name.
                conn.collect()
                time.sleep(REPLICA_SECONDS)
                maybe_shutdown()
        return conn

    @staticmethod
    def _trouble(conn: Any) -> str:
        """Why the broker takes no write; empty where it does."""
        if not hasattr(conn.default_channel, "client"):
            return ""  # no Valkey: a test's broker in memory
        try:
            conn.default_channel.client.set(KEY, 1, ex=KEPT_SECONDS)
        except RedisError as error:
            return str(error) or type(error).__name__
        return ""


@contextmanager
def _one_line() -> Iterator[None]:
    """Of Celery's lines about a broker that cannot be reached only the first is logged."""
    logger, seen = logging.getLogger(CeleryConsumer.__module__), count()

    def is_news(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(CANNOT_CONNECT) or next(seen) == 0

    logger.addFilter(is_news)
    try:
        yield
    finally:
        logger.removeFilter(is_news)
