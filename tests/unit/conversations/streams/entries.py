"""Entries of a job as workers send them."""

from __future__ import annotations

from typing import Any

import orjson

from conversations.streams.waiter import Entry
from scheduling.outbox import DELTA, FINAL, STARTED

CHUNK = '{"choices":[{"index":0,"delta":{"content":"hi"}}]}'


def started(attempt: int = 1) -> Entry:
    return Entry(attempt, 1, STARTED, '{"queue_ms":7,"endpoint":"one"}')


def delta(seq: int, attempt: int = 1) -> Entry:
    return Entry(attempt, seq, DELTA, CHUNK)


def final(seq: int = 9, attempt: int = 1, **fields: Any) -> Entry:
    end = {"status": "completed", "queue_ms": 7, "endpoint": "one", "body": None, **fields}
    return Entry(attempt, seq, FINAL, orjson.dumps(end).decode())


def failed(code: str = "broken") -> Entry:
    return final(status="failed", code=code, message="it broke")
