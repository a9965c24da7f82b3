"""How the engine lives inside `celery worker`: started with it, drained before its pool joins."""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from prometheus_client import start_http_server

from llmqueue_project.config import configuration
from scheduling.levels import LEVELS
from scheduling.worker.engine import Engine

_engine: Engine | None = None


def engine() -> Engine:
    """The engine of this worker process.

    Raises:
        RuntimeError: the process is not a worker of the level queues.
    """
    if _engine is None:
        raise RuntimeError("tickets are served by workers of the level queues only")
    return _engine


def running_engine() -> Engine | None:
    return _engine


class EngineStep(bootsteps.StartStopStep):
    """Present in workers that consume a level queue; a housekeeping worker has no engine."""

    requires = ("celery.worker.components:Pool",)

    def include_if(self, parent: Any) -> bool:
        return any(name in LEVELS for name in parent.app.amqp.queues.consume_from)

    def start(self, parent: Any) -> None:
        global _engine
        _engine = Engine(worker=parent.hostname)
        _engine.start()
        config = configuration()
        if config.worker_metrics_port:
            start_http_server(config.worker_metrics_port, addr=config.worker_metrics_host)

    def stop(self, parent: Any) -> None:
        if _engine is not None:
            _engine.stop()

    def terminate(self, parent: Any) -> None:
        self.stop(parent)
