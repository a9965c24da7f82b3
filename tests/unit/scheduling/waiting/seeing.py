"""A queue as tests of waiting see it: rows, endpoints, a clock."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from balancing.endpoints.registry import Target
from scheduling.models import Priority, Status
from scheduling.pauses import NONE, Pauses
from scheduling.specs import JobSpec, Receipt
from scheduling.waiting.admission import Admission
from scheduling.waiting.queue_load import QueueLoad
from tests.hot_path import MODEL, spec

SLOTS = 4


class Clock:
    """Seconds that go on when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def go_on(self, seconds: float) -> None:
        self.seconds += seconds


def endpoint(*models: str, slots: int = SLOTS, state: str = "enabled") -> Target:
    return Target(1, "one", "http://one/v1", frozenset(models or [MODEL]), "", 1.0, slots, state)


def row(level: Priority = Priority.NORMAL, queued: int = 0, **fields: Any) -> tuple[Any, ...]:
    """A row of `sql/load.sql`: all slots busy with calls of a second each."""
    values: dict[str, Any] = {
        "model": MODEL,
        "tags": [float(n) for n in range(min(queued, 1000))],
        "costs": None,
        "ids": None,
        "oldest": 10.0,
        "processing": SLOTS,
        "ages": None,
        "running_costs": None,
        "finished": 0.0,
        "arriving": 0.0,
        "service": 1.0,
        "service_cost": 10.0,
        "clock": 0.0,
        "held": 0,
        "bytes": 100.0,
        **fields,
    }
    known = 0 if values["service"] == 0 else 5
    values["service"] = _several(values["service"], known)
    values["service_cost"] = _several(values["service_cost"], known)
    values["costs"] = values["costs"] or [10.0] * len(values["tags"])
    values["ids"] = values["ids"] or [str(UUID(int=n)) for n in range(len(values["tags"]))]
    # They began one after the other, so that a slot frees each quarter of a job.
    service = sum(values["service"]) / max(1, len(values["service"]))
    steps = [service * place / values["processing"] for place in range(values["processing"])]
    values["ages"] = steps if values["ages"] is None else values["ages"]
    values["running_costs"] = values["running_costs"] or [10.0] * len(values["ages"])
    model = values.pop("model")
    return (int(level), model, queued, *values.values())


def _several(value: Any, times: int) -> list[float]:
    return value if isinstance(value, list) else [value] * times


def load(
    *rows: tuple[Any, ...], pauses: Pauses = NONE, endpoints: Any = None, **fields: Any
) -> QueueLoad:
    return QueueLoad.of_rows(rows, endpoints or [endpoint()], pauses.levels, **fields)


def seeing(
    *rows: tuple[Any, ...], clock: Clock | None = None, pauses: Pauses = NONE, endpoints: Any = None
) -> Admission:
    """The decisions of a process that has just read these rows."""
    made = Admission(clock or Clock())
    made.queue.update(pauses, load(*rows, pauses=pauses, endpoints=endpoints))
    return made


def job(**fields: Any) -> JobSpec:
    """A job of flow 1."""
    return spec(1, **fields)


def stored(seen: Admission, *specs: JobSpec, tag: float = 0.0) -> None:
    seen.record(specs, [Receipt(each.id, Status.QUEUED, "", tag) for each in specs])


def flooded(clock: Clock | None = None, **fields: Any) -> Admission:
    """Realtime work for 25 seconds, of one flow that this process has seen submit."""
    seen = seeing(row(Priority.REALTIME, 100, **fields), clock=clock)
    stored(seen, job(level=Priority.REALTIME), tag=500.0)
    return seen


def looked_at(clock: Clock | None = None, **fields: Any) -> Admission:
    """Four jobs wait at normal."""
    return seeing(row(queued=4, tags=[1.0, 5.0, 5.0, 9.0], **fields), clock=clock)


def watched(clock: Clock, *, moved: float, seconds: int, **fields: Any) -> Admission:
    """Readings a second apart, between which the clock of normal goes on by as much."""
    seen = Admission(clock)
    for number in range(seconds):
        virtual = moved * number
        tags = [virtual + n for n in (0.0, 10.0, 20.0, 30.0)]
        waiting = row(queued=4, tags=tags, clock=virtual, **{"arriving": 0.0, **fields})
        seen.queue.update(NONE, load(waiting))
        clock.go_on(1.0)
    clock.go_on(-1.0)
    return seen
