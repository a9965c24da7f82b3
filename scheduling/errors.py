"""What scheduling refuses, and why.

SchedulingError
├── QueueFull          the level takes no more: try again after `retry_after_seconds`
├── Maintenance        intake is paused: try again after `retry_after_seconds`
├── UnknownModel       no endpoint serves the model
├── JobNotFound        no such job
├── NotPaused          what should be resumed is not paused
└── IllegalTransition  the job's status does not allow what was asked
"""

from __future__ import annotations


class SchedulingError(Exception):
    """The base of all expected refusals of this app."""


class QueueFull(SchedulingError):
    def __init__(self, retry_after_seconds: float, reason: str = "the queue is full") -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


class Maintenance(SchedulingError):
    def __init__(self, retry_after_seconds: float, reason: str = "") -> None:
        why = f": {reason}" if reason else ""
        super().__init__(f"intake is paused for maintenance{why}")
        self.retry_after_seconds = retry_after_seconds


class UnknownModel(SchedulingError):
    def __init__(self, model: str) -> None:
        super().__init__(f"the model {model!r} is not served by any endpoint")
        self.model = model


class JobNotFound(SchedulingError):
    pass


class NotPaused(SchedulingError):
    def __init__(self, scope: str, key: str) -> None:
        super().__init__(f"{scope} {key}".strip() + " is not paused")


class IllegalTransition(SchedulingError):
    def __init__(self, status: str, wanted: str) -> None:
        super().__init__(f"a {status} job cannot become {wanted}")
        self.status = status
        self.wanted = wanted
