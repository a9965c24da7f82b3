"""How a call to an endpoint can end badly.

CallError
├── Refused       the endpoint answered 4xx: the request itself is at fault, no retry
├── Unavailable   connection failed, 429 or 5xx: another endpoint, or later
├── TimedOut      connect, first token, stall or total: `phase` says which
└── Broken        the stream ended before the answer did
"""

from __future__ import annotations

# What code that reads JSON of an expected shape raises on another one.
UNKNOWN_SHAPE = (AttributeError, IndexError, KeyError, TypeError, ValueError)


class CallError(Exception):
    """Base of all expected failures of a call.

    Attributes:
        code: a short word for logs, metrics and the stored attempt.
        status: the endpoint's HTTP status, 0 when there was none.
        body: the endpoint's own error object as JSON text, empty when there was none.
        retry_after_seconds: what the endpoint asked for; 0 when it did not.
    """

    retryable = True
    _PUBLIC = "no endpoint could answer"

    @property
    def public(self) -> str:
        """What a client may read: nothing of our endpoints, their hosts or their credentials."""
        return f"{self._PUBLIC} ({self.code})"

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 0,
        body: str = "",
        retry_after_seconds: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.body = body
        self.retry_after_seconds = retry_after_seconds


class Refused(CallError):
    retryable = False

    @property
    def public(self) -> str:
        return str(self)


class Unavailable(CallError):
    pass


class TimedOut(CallError):
    _PUBLIC = "the endpoint took too long"


class Broken(CallError):
    _PUBLIC = "the endpoint's answer broke off"
