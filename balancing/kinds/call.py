"""What is asked of an endpoint, and how long may the answer take?"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from balancing.apis import APIS
from balancing.endpoints.access import Access


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; `total` covers the whole call."""

    connect: float
    first_token: float
    stall: float
    total: float

    def at(self, access: Access) -> Timeouts:
        """The endpoint's own timeouts, else these; `total` never grows."""
        return Timeouts(
            access.connect_timeout or self.connect,
            access.first_token_timeout or self.first_token,
            access.stall_timeout or self.stall,
            min(access.total_timeout or self.total, self.total),
        )


@dataclass(frozen=True, slots=True)
class Call:
    """One request to one endpoint.

    Attributes:
        api: a key of `APIS`.
        body: JSON text in OpenAI's shape.
        model: the client's name of the model if the endpoint has another; else empty.
    """

    job_id: UUID
    api: str
    body: str
    stream: bool
    timeouts: Timeouts
    model: str = ""

    @property
    def public_id(self) -> str:
        """The id that clients see in the answer."""
        return APIS[self.api].id_prefix + self.job_id.hex
