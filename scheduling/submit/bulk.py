"""How is any number of jobs submitted? Copied in batches, each tagged in one pass.

A batch is a transaction: its jobs stay when a later batch fails. Inside a transaction of the
caller's, all batches are stored or none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from django.db import connection, transaction

from scheduling.models import Status
from scheduling.specs import COLUMNS, JobSpec, Receipt, receipts, row
from scheduling.statements import STAGING, SUBMIT_STAGED
from scheduling.tickets.queue import MOST_TICKETS, publish_on_commit
from scheduling.waiting import admission
from scheduling.waiting.admission import Admission

# A flow's tags are locked while a batch is stored: well under a second.
BATCH_JOBS, BATCH_CHARS = 5_000, 16_000_000
_COPY = f"copy pg_temp.scheduling_staging ({', '.join(COLUMNS)}, place) from stdin"
_EMPTY = "truncate pg_temp.scheduling_staging"


def submit_bulk(
    specs: Iterable[JobSpec], *, seen: Admission | None = None
) -> Iterator[list[Receipt]]:
    """Store jobs in batches as they are asked for; yields the receipts of each batch.

    Only one batch is in memory at a time. Tickets are published for the first `MOST_TICKETS` queued
    jobs of a level; the sweep publishes the others as these are used up.

    Args:
        seen: the admission that decides for all batches; by default the process's current one, for
            each batch anew.

    Raises:
        Maintenance, QueueFull: intake is paused, or a hard cap is reached. Batches that were
            yielded before are stored. The wait limit does not apply.
    """
    left = Counter(dict.fromkeys(range(4), MOST_TICKETS))
    for batch in batches(specs):
        deciding = seen or admission.current()
        deciding.check(batch, batch=True)
        stored = _store(batch, left)
        deciding.record(batch, stored)
        yield stored


def batches(specs: Iterable[JobSpec]) -> Iterator[list[JobSpec]]:
    """Lists of at most `BATCH_JOBS` jobs; a list is shorter where bodies are long."""
    batch: list[JobSpec] = []
    chars = 0
    for spec in specs:
        batch.append(spec)
        chars += len(spec.body)
        if len(batch) >= BATCH_JOBS or chars >= BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


def _store(batch: Sequence[JobSpec], left: Counter[int]) -> list[Receipt]:
    with transaction.atomic(savepoint=False):
        with connection.cursor() as cursor:
            cursor.execute(STAGING)
            with cursor.copy(_COPY) as copy:
                for place, spec in enumerate(batch):
                    copy.write_row(row(spec, place))
            cursor.execute(SUBMIT_STAGED)
            stored = receipts(cursor.fetchall())
            cursor.execute(_EMPTY)
        queued = Counter(
            int(spec.level) for spec in batch if stored[spec.id].status == Status.QUEUED
        )
        wanted = Counter({level: min(count, left[level]) for level, count in queued.items()})
        left.subtract(wanted)
        publish_on_commit(list(wanted.elements()))
    return [stored[spec.id] for spec in batch]
