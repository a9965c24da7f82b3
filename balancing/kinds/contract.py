"""What a kind of endpoint must know: how to ask, and how to read what comes back.

Requests arrive as OpenAI's JSON text and answers leave in OpenAI's shape; kinds translate in
between and do no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from balancing.endpoints.target import Target
from balancing.kinds.call import Call
from balancing.kinds.shape import Json


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One HTTP request; a GET has no body. The headers hold the credential."""

    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = b""


class Translator(Protocol):
    """The events of one provider's stream, as OpenAI chunks.

    Attributes:
        done: the provider has said that nothing follows.
    """

    done: bool

    def feed(self, event: Json) -> Iterable[Json]:
        """The chunks that one event amounts to.

        Raises:
            balancing.errors.CallError: it reports a failure.
            one of `balancing.errors.UNKNOWN_SHAPE`: it has an unknown shape.
        """
        ...

    def end(self) -> Iterable[Json]:
        """What is left to say when the stream has ended, such as the usage."""
        ...


class EndpointKind(Protocol):
    """One provider's API.

    Attributes:
        passes_through: answers and errors are OpenAI's already and go on as they are.
    """

    passes_through: bool

    def request(self, target: Target, call: Call, credential: str) -> Outgoing:
        """The HTTP request for a call.

        Raises:
            balancing.errors.Refused: the provider has no counterpart for what it asks.
            one of `balancing.errors.UNKNOWN_SHAPE`: it has an unknown shape.
        """
        ...

    def translator(self) -> Translator | None:
        """For one stream; None when it is OpenAI's."""
        ...

    def whole(self, answer: Json, call: Call) -> Json:
        """An answer that was not streamed, in OpenAI's shape."""
        ...

    def blames_endpoint(self, status: int, error: Any) -> bool:
        """Whether a 4xx speaks of our account or model, not of the client's request."""
        ...

    def retry_after_seconds(self, error: Any) -> float:
        """When to try again, from an error's body; 0 when it does not say."""
        ...

    def listing(self, target: Target, credential: str) -> Outgoing:
        """The request for the models that an endpoint serves."""
        ...

    def listed(self, answer: Json) -> list[str]:
        """The names of the models in the answer to `listing`."""
        ...
