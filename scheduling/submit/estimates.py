"""What is a new job expected to cost, by the length of its flow's earlier answers?

Workers learn the lengths in the statement that finishes jobs (`sql/finish.sql`). A web process
reads every few seconds which of them have changed, and keeps them: no request needs a query.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from llmqueue_project.config import configuration
from scheduling.policies.estimates import Estimate, averaged, expected_output
from scheduling.specs import estimate_cost
from stores.memory import remembered
from stores.postgres import Database, read

REFRESH_SECONDS = 5.0
REMEMBERED = 100_000
# A transaction may commit some time after the instant that it wrote to `updated_at`.
OVERLAP = timedelta(seconds=10)
CHANGED = """
select flow_id, model, mean, samples, updated_at
  from scheduling_outputestimate
 where updated_at > %(since)s
 order by updated_at desc
 limit %(limit)s
"""


class Estimates:
    """A process's memory of learned output lengths.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or time.monotonic
        self._own: dict[tuple[int, str], Estimate] = {}
        self._models: dict[str, Estimate] = {}
        self._latest = datetime(1970, 1, 1, tzinfo=UTC) + OVERLAP
        self._read_at = float("-inf")

    @property
    def is_due(self) -> bool:
        """Whether it is time to read what has changed."""
        return self._clock() - self._read_at >= REFRESH_SECONDS

    @property
    def parameters(self) -> dict[str, Any]:
        """What `CHANGED` takes."""
        return {"since": self._latest - OVERLAP, "limit": REMEMBERED}

    def update(self, rows: Iterable[Sequence[Any]]) -> None:
        """Remember rows of `CHANGED`."""
        self._read_at = self._clock()
        if len(self._own) > REMEMBERED:
            self._own.clear()
        models = set()
        for flow_id, model, mean, samples, updated_at in rows:
            self._own[flow_id, model] = Estimate(mean, samples)
            self._latest = max(self._latest, updated_at)
            models.add(model)
        if models:
            self._average(models)

    def _average(self, models: set[str]) -> None:
        of: defaultdict[str, list[Estimate]] = defaultdict(list)
        for (_, model), estimate in self._own.items():
            if model in models:
                of[model].append(estimate)
        self._models |= {model: averaged(estimates) for model, estimates in of.items()}

    def output_tokens(self, *, flow_id: int, model: str, max_tokens: int | None = None) -> float:
        """Expected output tokens of a flow's next request."""
        return expected_output(
            own=self._own.get((flow_id, model)),
            model=self._models.get(model),
            default=configuration().scheduling.default_output_tokens,
            max_tokens=max_tokens,
        )

    def cost(self, body: str, *, flow_id: int, model: str, max_tokens: int | None = None) -> float:
        """Expected weighted tokens of a request.

        Args:
            body: as it goes upstream, JSON text.
            max_tokens: the most output that it allows; None where it names no limit.
        """
        output = self.output_tokens(flow_id=flow_id, model=model, max_tokens=max_tokens)
        return estimate_cost(body, output)


def current() -> Estimates:
    """The process's estimates, read by Django's connection where they are a few seconds old."""
    found = remembered(Estimates)
    if found.is_due:
        with connection.cursor() as cursor:
            cursor.execute(CHANGED, found.parameters)
            found.update(cursor.fetchall())
    return found


async def refresh(estimates: Estimates, database: Database) -> None:
    """Read what has changed, beside the requests, if it is time.

    Raises:
        psycopg.OperationalError: the server stayed away.
    """
    if estimates.is_due:
        estimates.update(await read(database.relaxed, CHANGED, estimates.parameters))
