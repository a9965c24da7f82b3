"""What is asked of an endpoint, and how long may the answer take?"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from uuid import UUID

from balancing.apis import APIS
from balancing.endpoints.access import Access


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a call may take; seconds.

    Attributes:
        first_token: silence before the first byte.
        stall: silence between two pieces; any byte ends it.
        total: the whole call; when it is over, the endpoint has failed.
        deadline: what the request has left; when it is over, nobody has failed.
    """

    connect: float
    first_token: float
    stall: float
    total: float
    deadline: float = math.inf

    @property
    def whole(self) -> float:
        return min(self.total, self.deadline)

    def at(self, access: Access, *, streamed: bool) -> Timeouts:
        """The endpoint's own timeouts, else these; `total` never grows.

        An answer that is not streamed is silent until it is complete, so that its silence has no
        limit of its own.
        """
        own = replace(
            self,
            connect=access.connect_timeout or self.connect,
            total=min(access.total_timeout or self.total, self.total),
        )
        if not streamed:
            return replace(own, first_token=math.inf, stall=math.inf)
        return replace(
            own,
            first_token=access.first_token_timeout or self.first_token,
            stall=access.stall_timeout or self.stall,
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
