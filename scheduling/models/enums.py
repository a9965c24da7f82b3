"""The words that describe jobs: levels, statuses, sources, APIs, reasons for being held."""

from __future__ import annotations

from django.db import models

from scheduling.levels import LEVELS


class Priority(models.IntegerChoices):
    """A priority level; its name is the Celery queue's."""

    REALTIME = 0, LEVELS[0]
    HIGH = 1, LEVELS[1]
    NORMAL = 2, LEVELS[2]
    LOW = 3, LEVELS[3]

    @property
    def queue(self) -> str:
        return str(self.label)

    @classmethod
    def of_row(cls, value: int | None) -> Priority | None:
        """The level of a column; None without one, and for a number that is none."""
        return cls(value) if value in cls.values else None

    @classmethod
    def named(cls, name: str) -> Priority:
        """The level of that name.

        Raises:
            ValueError: there is no such level.
        """
        if not isinstance(name, str):
            raise ValueError("a priority is one of the words " + ", ".join(cls.labels))
        for level in cls:
            if level.label == name:
                return level
        raise ValueError(f"unknown priority {name[:40]!r}: one of {', '.join(cls.labels)}")


class Status(models.TextChoices):
    HELD = "held"
    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"


FINAL = (Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.TIMEOUT)


class Source(models.TextChoices):
    """The door that a job came by.

    A client of the OpenAI door waits on its connection. A message's client may come back later for
    the answer, and `job_finished` announces its end to the app above.
    """

    OPENAI = "openai", "openai"
    MESSAGE = "message", "message"


class Api(models.TextChoices):
    """What a job asks of its model: one of OpenAI's three requests."""

    CHAT = "chat", "chat"
    COMPLETION = "completion", "completion"
    EMBEDDING = "embedding", "embedding"


class Held(models.TextChoices):
    """Why a job may not run yet."""

    DUE = "due", "due later"
    TURN = "turn", "an earlier turn is in flight"
    TENANT_LIMIT = "tenant_limit", "tenant at its limit"
    PAUSED = "paused", "paused"
    BACKLOG = "backlog", "batch backlog"
