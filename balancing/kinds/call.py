"""What is asked of an endpoint: one request in OpenAI's shape, and how long its answer may take."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from balancing.apis import APIS
from balancing.endpoints.access import Access


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; `total` includes the rest."""

    connect: float
    first_token: float
    stall: float
    total: float

    def at(self, access: Access) -> Timeouts:
        """These, with the endpoint's own where it has some; none outlasts the total."""
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
        body: OpenAI's JSON text.
        model: the client's name of the model where the endpoint has another; else empty.
    """

    job_id: UUID
    api: str
    body: str
    stream: bool
    timeouts: Timeouts
    model: str = ""

    @property
    def public_id(self) -> str:
        """The id that clients read in the answer."""
        return APIS[self.api].id_prefix + self.job_id.hex
