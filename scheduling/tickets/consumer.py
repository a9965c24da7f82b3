"""Celery's consumer, for a broker that may be away for a moment.

It reconnects within a fraction of a second (stock: 2 s, then 4 s, ...) and lets the gate wake
the hub when a slot frees in the engine's thread.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from celery import bootsteps
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.consumer.tasks import Tasks

from scheduling.tickets.gate import gate

RECONNECT_SECONDS = {"interval_start": 0.1, "interval_step": 0.2, "interval_max": 2.0}


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
        conn.ensure_connection = partial(conn.ensure_connection, **RECONNECT_SECONDS)
        return super().ensure_connected(conn)
