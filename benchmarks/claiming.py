"""Time claims, submits and sweeps on several databases by turns; prints JSON, one object each.

Run by `queue_depth.py` in a process of its own. By turns, so that a change of the machine's speed
affects all alike. Each claim is followed by a submit, so that a queue keeps its depth.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from statistics import median, quantiles
from typing import Any
from uuid import uuid4

import django
import psycopg

WARM_UP = 50
SWEEP_EVERY = 25
Seconds = dict[str, list[float]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("urls", nargs="+", help="of databases with jobs queued")
    parser.add_argument("--rounds", type=int, required=True)
    options = parser.parse_args()
    django.setup()
    queues = [Queue(url) for url in options.urls]
    for number in range(WARM_UP + options.rounds):
        if number == WARM_UP:
            for queue in queues:
                queue.seconds.clear()
        # Whoever is second finds the processor's caches as the first left them: change places.
        for queue in queues if number % 2 else queues[::-1]:
            queue.turn()
            if number % SWEEP_EVERY == 0:
                queue.sweep()
    print(json.dumps([queue.figures() for queue in queues]))


class Queue:
    """One database, with connections like a worker's and a web process's."""

    def __init__(self, url: str) -> None:
        relaxed = "-c synchronous_commit=off"
        self._worker = psycopg.connect(url, autocommit=True, options=relaxed)
        self._web = psycopg.connect(url, autocommit=True)
        self.seconds: Seconds = defaultdict(list)
        statement = "select level, model, flow_id from scheduling_job limit 1"
        found = self._web.execute(statement).fetchone()
        assert found is not None, "no jobs are queued"
        self._level, self._model, self._flow = found

    def turn(self) -> None:
        """Claim one job and submit another."""
        from scheduling.models import Priority, Source
        from scheduling.specs import JobSpec, parameters
        from scheduling.statements import CLAIM, SUBMIT

        claim = {
            "level": self._level,
            "limit": 1,
            "models": [self._model],
            "slots": [1],
            "apis": ["chat"],
            "worker": "benchmark",
            "lease_seconds": 3600,
        }
        spec = JobSpec(
            level=Priority(self._level),
            model=self._model,
            body="{}",
            flow_id=self._flow,
            tenant_id=uuid4(),
            cost=100.0,
            source=Source.OPENAI,
        )
        self._timed("claim", self._worker, CLAIM, claim)
        self._timed("submit", self._web, SUBMIT, parameters([spec]))

    def sweep(self) -> None:
        """The statements of a round, without tickets."""
        from scheduling.policies.fairness import SETTLED_WORKS
        from scheduling.statements import (
            LOST_STREAMS,
            QUEUED,
            RELEASE_BACKLOG,
            SETTLE,
            SWEEP_DEADLINES,
            SWEEP_DUE,
            SWEEP_LEASES,
        )
        from scheduling.sweep import LEAST_QUEUED, MOST_TICKETS, SETTLED_HEADS

        steps: list[tuple[str, dict[str, Any] | None]] = [
            (LOST_STREAMS, None),
            (SWEEP_LEASES, {"looked": [], "spoke": []}),
            (SWEEP_DEADLINES, None),
            (SWEEP_DUE, None),
            (RELEASE_BACKLOG, {"least": LEAST_QUEUED, "most": MOST_TICKETS}),
            (SETTLE, {"heads": SETTLED_HEADS, "works": SETTLED_WORKS}),
            (QUEUED, {"cap": MOST_TICKETS}),
        ]
        began = time.perf_counter()
        with self._web.transaction():
            for statement, values in steps:
                self._web.execute(statement.encode(), values).fetchall()
        self.seconds["sweep"].append(time.perf_counter() - began)

    def figures(self) -> dict[str, float]:
        """Milliseconds."""
        claims = self.seconds["claim"]
        return {
            **{f"{name}_p50": median(taken) * 1000 for name, taken in self.seconds.items()},
            "claim_p99": quantiles(claims, n=100)[98] * 1000,
        }

    def _timed(
        self, name: str, connection: psycopg.Connection, statement: str, values: dict[str, Any]
    ) -> None:
        began = time.perf_counter()
        rows = connection.execute(statement.encode(), values).fetchall()
        self.seconds[name].append(time.perf_counter() - began)
        assert len(rows) == 1


if __name__ == "__main__":
    main()
