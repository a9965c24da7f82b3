"""How can a call to an endpoint end badly?

CallError
├── Refused       the endpoint answered 4xx; the request itself is at fault and is not retried
├── Unavailable   the connection failed, or the answer was a 429 or 5xx; retried
├── TimedOut      to connect, to the first token, between tokens or in total; `code` says which
├── Broken        the answer ended too early or cannot be read; retried
│   └── Unparsable  it cannot be read, and the same endpoint would send the same again
└── TooLarge      the answer is larger than the limit; it would be again, and is not retried
"""

from __future__ import annotations

# Raised by code that expects JSON of one shape and meets another.
UNKNOWN_SHAPE = (AttributeError, IndexError, KeyError, TypeError, ValueError)


class CallError(Exception):
    """Base of all expected failures of a call.

    Attributes:
        code: a short word for logs, metrics and the stored attempt.
        status: the endpoint's HTTP status; 0 without one.
        body: the endpoint's own error object as JSON text; empty without one.
        retry_after_seconds: the delay that the endpoint asked for; 0 if it asked for none.
    """

    retryable = True
    # Whether the same endpoint might answer better; if not, only another one is tried.
    repeatable = True
    _PUBLIC = "no endpoint could answer"

    @property
    def public(self) -> str:
        """The text for clients. It names no endpoint, no host and no credential."""
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


class Unparsable(Broken):
    repeatable = False
    _PUBLIC = "the endpoint's answer cannot be read"


class TooLarge(CallError):
    retryable = False

    @property
    def public(self) -> str:
        return str(self)
