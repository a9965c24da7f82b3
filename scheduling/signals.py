"""News from scheduling to the apps above it."""

from django.dispatch import Signal

from scheduling.models import Source

# Sent in a worker's thread after a finish committed, for jobs of every source but the OpenAI door:
#   job_finished.send(sender=Job, job_id: UUID, source: str, status: Status,
#                     sequence_key: UUID | None)
# Possibly more than once, possibly late (the sweep): receivers are idempotent.
job_finished = Signal()


def is_announced(source: str) -> bool:
    """Whether `job_finished` is sent for jobs of this source."""
    return source != Source.OPENAI
