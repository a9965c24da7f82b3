"""What must a kind of endpoint be able to do?

A kind gets requests as OpenAI's JSON text and gives answers in OpenAI's shape. It translates both
and does no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

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
    """Turns the events of one provider's stream into OpenAI chunks.

    Attributes:
        done: whether the provider has said that nothing follows.
    """

    done: bool

    def feed(self, event: Json) -> Iterable[Json]:
        """The chunks of one event; an event that reports an error is passed on as it is.

        Raises:
            one of `balancing.errors.UNKNOWN_SHAPE`: the event has an unknown shape.
        """
        ...

    def end(self) -> Iterable[Json]:
        """The chunks that remain when the stream has ended, such as the usage."""
        ...


class EndpointKind(Protocol):
    """One provider's API.

    Attributes:
        passes_through: whether answers and errors have OpenAI's shape already.
    """

    passes_through: bool

    def request(self, target: Target, call: Call, credential: str) -> Outgoing:
        """The HTTP request for a call.

        Raises:
            balancing.errors.Refused: the provider cannot do what the request asks.
            one of `balancing.errors.UNKNOWN_SHAPE`: the request has an unknown shape.
        """
        ...

    def translator(self) -> Translator | None:
        """A translator for one stream; None if the stream has OpenAI's shape already."""
        ...

    def whole(self, answer: Json, call: Call) -> Json:
        """An unstreamed answer in OpenAI's shape."""
        ...

    def listing(self, target: Target, credential: str) -> Outgoing:
        """The request for the models that an endpoint serves."""
        ...

    def listed(self, answer: Json) -> list[str]:
        """The names of the models in the answer to the request of `listing`."""
        ...
