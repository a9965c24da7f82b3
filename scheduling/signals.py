"""News from scheduling to the apps above it."""

from django.dispatch import Signal

from scheduling.models import Source

# It is sent in a worker's thread after a finish has committed, for jobs that `is_announced`:
#   job_finished.send(sender=Job, job_id: UUID, source: str, status: Status,
#                     sequence_key: UUID | None)
# It may be sent more than once, and late (by the sweep): receivers are idempotent.
job_finished = Signal()


def is_announced(source: str) -> bool:
    """Whether `job_finished` is sent for jobs of this source."""
    return source != Source.OPENAI
