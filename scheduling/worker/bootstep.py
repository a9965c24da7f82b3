"""How the engine lives inside `celery worker`: started with it, drained before its pool joins."""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from prometheus_client import start_http_server

from llmqueue_project.config import configuration
from scheduling.levels import LEVELS
from scheduling.tickets.gate import gate
from scheduling.worker.engine import Engine


def engine_of(consumer: Any) -> Engine | None:
    """The engine of the worker whose consumer this is; None in a housekeeping worker."""
    found: Engine | None = getattr(consumer.controller, "engine", None)
    return found


class EngineStep(bootsteps.StartStopStep):
    """Present in workers that consume a level queue; a housekeeping worker has no engine.

    The engine is an attribute of Celery's worker, as its pool and its consumer are.
    """

    requires = ("celery.worker.components:Pool",)

    def include_if(self, parent: Any) -> bool:
        return any(name in LEVELS for name in parent.app.amqp.queues.consume_from)

    def start(self, parent: Any) -> None:
        parent.engine = Engine(worker=parent.hostname, gate=gate)
        parent.engine.start()
        config = configuration()
        if config.worker_metrics_port:
            start_http_server(config.worker_metrics_port, addr=config.worker_metrics_host)

    def stop(self, parent: Any) -> None:
        engine = getattr(parent, "engine", None)
        if engine is not None:
            engine.stop()

    def terminate(self, parent: Any) -> None:
        self.stop(parent)
