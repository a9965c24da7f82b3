"""Celery's side of scheduling: ids in, no logic."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from scheduling.models import Priority
from scheduling.tickets.messages import TASK

# `Strategy` is a task attribute that the type stubs leave out.
_OPTIONS: dict[str, Any] = {
    "acks_late": True,
    "ignore_result": True,
    "Strategy": "scheduling.worker.strategy:strategy",
}


@shared_task(name=TASK, bind=True, **_OPTIONS)
def serve_next(self: Any, level: str) -> None:
    """One more request waits at this level: serve whichever is next.

    Raises:
        RuntimeError: the process is not a worker of the level queues.
    """
    engine = getattr(self, "engine", None)
    if engine is None:
        raise RuntimeError("tickets are served by workers of the level queues only")
    engine.serve(Priority.named(level))
