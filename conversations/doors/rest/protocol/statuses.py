"""Which status does a client see? The one place that knows both vocabularies.

| here       | on the job                                                          |
|------------|---------------------------------------------------------------------|
| pending    | queued, or held until the job may run                               |
| the others | processing, completed, failed, cancelled, timeout: the same words   |
"""

from __future__ import annotations

from scheduling.models import Status

PENDING = "pending"
WAITING = (Status.QUEUED, Status.HELD)
NAMES = [PENDING, *(str(status) for status in Status if status not in WAITING)]


def shown(status: str) -> str:
    return PENDING if status in WAITING else str(status)


def meant(name: str) -> list[str]:
    """The statuses of jobs that a name of this door stands for."""
    return [str(status) for status in WAITING] if name == PENDING else [name]
