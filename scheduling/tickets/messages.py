"""Tickets: Celery messages that say "one more request waits at this level".

A ticket names no request, so a lost one is replaced by a count and a second one is harmless. A
message is rendered from a template; a test pins it against Celery's own.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from uuid import uuid4

from scheduling.levels import LEVELS

TASK = "scheduling.serve_next"
_ID = "00000000-0000-0000-0000-000000000000"


@lru_cache(maxsize=len(LEVELS))
def _template(level: str) -> str:
    """A rendered ticket with `_ID` where its identifiers go."""
    body = [[level], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    message: dict[str, Any] = {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": TASK,
            "id": _ID,
            "shadow": None,
            "eta": None,
            "expires": None,
            "group": None,
            "group_index": None,
            "retries": 0,
            "timelimit": [None, None],
            "root_id": _ID,
            "parent_id": None,
            "argsrepr": repr((level,)),
            "kwargsrepr": "{}",
            "origin": "llmqueue",
            "ignore_result": True,
            "replaced_task_nesting": 0,
            "stamped_headers": None,
            "stamps": {},
        },
        "properties": {
            "correlation_id": _ID,
            "reply_to": _ID,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": level},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": _ID,
        },
    }
    return json.dumps(message)


def render(level: str) -> str:
    """A new ticket of a level, as Celery's own `apply_async` would put it on the queue."""
    return _template(level).replace(_ID, str(uuid4()))


def pushes(counts: Mapping[str, int]) -> list[tuple[str, list[str]]]:
    """Queue and new tickets, for so many tickets of each level."""
    return [
        (level, [render(level) for _ in range(count)]) for level, count in counts.items() if count
    ]


def counted(levels: Iterable[int]) -> dict[str, int]:
    """Tickets needed for jobs of these levels, by queue."""
    return Counter(LEVELS[level] for level in levels)
