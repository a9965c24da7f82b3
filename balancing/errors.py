"""How can a call to an endpoint end badly?

CallError
├── Refused           the request itself is at fault and is not retried
├── Unavailable       the connection failed, or the endpoint answered that it cannot; retried
│   └── Busy          it is full for the moment: nobody's fault; waited for, uses up no attempt
│       └── Exhausted our account there is used up, or it asks for a long wait
├── TimedOut          to connect, to the first byte, between bytes or in total; `code` says which
│   └── DeadlinePassed the request's own time was up; nobody's fault, and not retried
├── Broken            the answer ended too early or cannot be read; retried
│   └── Unparsable    it cannot be read, and the same endpoint would send the same again
└── TooLarge          the answer is larger than the limit; it would be again, and is not retried

`balancing/faults.py` has the table that decides among the first four.
"""

from __future__ import annotations

import orjson

# Raised by code that expects JSON of one shape and meets another.
UNKNOWN_SHAPE = (AttributeError, IndexError, KeyError, TypeError, ValueError)
# How long an endpoint that does not say when its quota returns is left alone.
QUOTA_SECONDS = 300.0


class CallError(Exception):
    """Base of all expected failures of a call.

    Attributes:
        code: a short word for logs, metrics and the stored attempt.
        status: the endpoint's HTTP status; 0 without one.
        body: an error object of OpenAI's shape for the client, as JSON text; empty without one.
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

    @property
    def may_be_the_requests(self) -> bool:
        """Whether this very request may have caused it, so that one alone proves nothing."""
        return False

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
    """Its text is for operators; what the client may read of it is the message of its body."""

    retryable = False

    @property
    def public(self) -> str:
        try:
            return str(orjson.loads(self.body)["error"]["message"])
        except UNKNOWN_SHAPE:
            return str(self)


class Unavailable(CallError):
    @property
    def may_be_the_requests(self) -> bool:
        """A connection that fails, a credential or a model that is missing fails for everybody."""
        return self.status >= 500 or self.code == "endpoint_error"


class Busy(Unavailable):
    _PUBLIC = "every endpoint of the model is busy"

    @property
    def may_be_the_requests(self) -> bool:
        return False


class Exhausted(Busy):
    """`retry_after_seconds` is never 0."""


class TimedOut(CallError):
    _PUBLIC = "the endpoint took too long"

    @property
    def may_be_the_requests(self) -> bool:
        return self.code != "connect_timeout"


class DeadlinePassed(TimedOut):
    """Says nothing of the endpoint: the caller has asked for an answer within so short a time."""

    retryable = False

    def __init__(self) -> None:
        super().__init__("deadline", "the request's time was up")


class Broken(CallError):
    _PUBLIC = "the endpoint's answer broke off"

    @property
    def may_be_the_requests(self) -> bool:
        return True


class Unparsable(Broken):
    repeatable = False
    _PUBLIC = "the endpoint's answer cannot be read"


class TooLarge(CallError):
    retryable = False

    @property
    def public(self) -> str:
        return str(self)
