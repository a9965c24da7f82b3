"""How a ticket gets from Celery's consumer to the engine's loop: two gears, one coroutine.

- `task`: Celery's own strategy; a pool thread runs `serve_next` and waits for the job's end.
- `direct`: the consumer hands the ticket straight to the loop, and more of the same level with
  it, without Celery's Request, tracer and pool. Three to five times the requests a second.

In the direct gear a ticket is acknowledged when it is taken: tickets are replaced by the sweep's
count, and from the claim on the row's lease protects the work. Task events are sent only while
somebody listens to them (Flower); while nobody does, the engine fetches tickets itself when a slot
frees (`puller.py`). `inspect active` lists the engine's jobs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from celery.worker import control as celery_control
from celery.worker import strategy as celery_strategy

from llmqueue_project.config import configuration
from scheduling.models import Priority
from scheduling.tickets.gate import gate
from scheduling.tickets.messages import TASK
from scheduling.tickets.queue import pop_now
from scheduling.worker.bootstep import engine_of
from scheduling.worker.engine import Engine

# A BRPOP that answered sooner than this found its ticket waiting; others may wait behind it.
AT_ONCE_SECONDS = 0.002
Handler = Callable[..., None]
celery_active: Any = celery_control.Panel.data["active"]


def strategy(task: Any, app: Any, consumer: Any, **kwargs: Any) -> Handler:
    """Celery's `Task.Strategy` of `serve_next`: the configured gear.

    Celery asks for every task's strategy, in workers of other queues too: there is no engine then,
    and no ticket will come.
    """
    engine = engine_of(consumer)
    task.engine = engine
    if engine is not None and configuration().scheduling.gear == "direct":
        return direct(engine, consumer)
    handler: Handler = celery_strategy.default(task, app, consumer, **kwargs)
    return handler


def direct(engine: Engine, consumer: Any) -> Handler:
    """The handler of the direct gear."""
    events = consumer.event_dispatcher
    engine.pull_while(lambda: not _somebody_listens(events))

    def take(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **kwargs: Any) -> None:
        name = message.delivery_info["routing_key"]
        level = Priority.named(name)
        message.ack()
        if _somebody_listens(events):
            _observed(engine.serve_soon(level), message, events, consumer.hub)
            return
        # The first is on its way before we look for more.
        engine.take(level, 1)
        if more := _pop_more(message.channel, name):
            engine.take(level, more)

    return take


def _somebody_listens(events: Any) -> bool:
    """Workers always send heartbeats; task events only once somebody asked for them."""
    return events is not None and events.enabled and (not events.groups or "task" in events.groups)


def _pop_more(channel: Any, name: str) -> int:
    """More tickets of a level; all higher levels were empty a moment ago."""
    if time.monotonic() - channel._brpop_sent_at > AT_ONCE_SECONDS:
        return 0
    return gate.taken(name, pop_now(channel.client, name, gate.burst(name)))


def _observed(ended: Future[None], message: Any, events: Any, hub: Any) -> None:
    """Tell listeners what Celery's tracer would have told them."""
    identifier = message.headers["id"]
    about = {key: message.headers.get(key) for key in ("root_id", "parent_id", "retries", "eta")}
    names = {"name": TASK, "args": message.headers.get("argsrepr"), "kwargs": "{}"}
    events.send("task-received", uuid=identifier, **names, **about)
    events.send("task-started", uuid=identifier)
    began = time.monotonic()

    def told(future: Future[None]) -> None:
        if future.cancelled() or future.exception():
            send = partial(events.send, "task-failed", uuid=identifier, exception="ticket failed")
        else:
            send = partial(
                events.send,
                "task-succeeded",
                uuid=identifier,
                result="None",
                runtime=time.monotonic() - began,
            )
        hub.call_soon(send)

    ended.add_done_callback(told)


@celery_control.inspect_command(alias="dump_active")
def active(state: Any, safe: bool = False) -> list[dict[str, Any]]:
    """`celery inspect active`: Celery's own tasks, and in the direct gear the engine's jobs."""
    requests: list[dict[str, Any]] = celery_active(state, safe=safe)
    engine = engine_of(state.consumer)
    if engine is None or configuration().scheduling.gear != "direct":
        return requests
    return requests + [
        {
            "id": str(run.job.id),
            "name": TASK,
            "type": TASK,
            "args": [run.level],
            "kwargs": {"endpoint": run.call.target.name, "model": run.job.model},
            "hostname": state.hostname,
            "time_start": run.job.started_at.timestamp(),
            "acknowledged": True,
            "delivery_info": {"routing_key": run.level},
            "worker_pid": os.getpid(),
        }
        for run in engine.running()
    ]
