"""What a balancing decision sees: endpoints as they stand, and what is wanted of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EndpointSnapshot:
    """One endpoint at one moment.

    Attributes:
        in_use: slots leased by all workers together.
        free: slots this decision may take.
        failing_until: Unix time until which its last failure counts; 0 when healthy.
    """

    id: int
    name: str
    model_names: frozenset[str]
    weight: float
    max_concurrent: int
    in_use: int = 0
    free: int = 0
    failing_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a job asks for; `tried` holds the endpoints that failed it in this claim."""

    model: str
    tried: frozenset[int] = frozenset()
