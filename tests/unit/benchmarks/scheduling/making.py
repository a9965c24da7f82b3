"""Requests, records and runs by hand."""

from __future__ import annotations

from typing import Any

from benchmarks.scheduling.plan import Request, Scenario
from benchmarks.scheduling.records import Record, Run


def request(number: int, at: float = 0.0, level: str = "normal", **fields: Any) -> Request:
    values = {"flow": "", "input_tokens": 6, "output_tokens": 3, "service_seconds": 1.0}
    return Request(number=number, at=at, level=level, **{**values, **fields})


def record(
    number: int,
    sent: float,
    began: float | None = None,
    ended: float | None = None,
    level: str = "normal",
    **fields: Any,
) -> Record:
    """What was sent on time, by the request's fields."""
    asked = request(number, at=sent, level=level, **fields)
    return Record(asked, sent=sent, began=began, ended=ended, calls=int(began is not None))


def run(records: list[Record], *, load: float = 2.0, stopped: float | None = None) -> Run:
    requests = tuple(each.request for each in records)
    return Run("llmqueue", Scenario(f"chat {load:.0%}", load, requests, ()), records, stopped)
