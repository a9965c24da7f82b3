"""What a balancing decision sees: endpoints as they stand, and what is wanted of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class EndpointSnapshot:
    """One endpoint at one moment.

    Costs are in weighted tokens: input tokens x 1 + output tokens x 2. Seconds are 0 while nothing
    has been measured yet.

    Attributes:
        max_concurrent: the most slots its operator allows.
        limit: the most slots that its latency allows just now, learned; 0 when none was learned.
        in_use: slots leased by all workers together.
        free: slots this decision may take.
        failing_until: Unix time until which its last failure counts; 0 when healthy.
        ejected_until: Unix time until which repeated failures keep it out; 0 when they do not.
        on_trial: its ejection is over, and one trial request decides what follows.
        returned_at: Unix time since which it takes work again, for a slow start; 0 when always.
        is_healthy: what the active probes say.
        first_token_seconds: time to first token, moving average.
        peak_first_token_seconds: the same, but rising at once and falling slowly.
        token_seconds: time per output token of one stream, moving average.
        best_token_seconds: the same when it is not crowded, a slow low.
        measured_at: Unix time of the newest of these four; 0 when nothing has been measured.
        running_cost: estimated cost of the calls that run there.
        waiting: calls that its own queue holds, as its last probe told.
        requests_left, tokens_left: what its rate limits still allow this minute; None: no limit.
        apis: the APIs it offers; empty when that is not known, which keeps none out.
    """

    id: int
    name: str
    model_names: frozenset[str]
    weight: float
    max_concurrent: int
    in_use: int = 0
    free: int = 0
    failing_until: float = 0.0
    limit: int = 0
    ejected_until: float = 0.0
    on_trial: bool = False
    returned_at: float = 0.0
    is_healthy: bool = True
    first_token_seconds: float = 0.0
    peak_first_token_seconds: float = 0.0
    token_seconds: float = 0.0
    best_token_seconds: float = 0.0
    measured_at: float = 0.0
    running_cost: float = 0.0
    waiting: int = 0
    requests_left: int | None = None
    tokens_left: int | None = None
    apis: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a job asks for.

    Attributes:
        tried: the endpoints that failed it in this claim.
        api: the API it needs: chat, completion or embedding.
        input_tokens, output_tokens: estimates.
        affinity: what should meet one endpoint again, such as a conversation's id; or empty.
        prefix: hashes of the prompt's leading blocks, each over all text up to its end.
        cached: endpoint id -> tokens of the prompt that its prefix cache holds, as far as known.
    """

    model: str
    tried: frozenset[int] = frozenset()
    api: str = "chat"
    input_tokens: int = 0
    output_tokens: int = 0
    affinity: str = ""
    prefix: tuple[str, ...] = ()
    cached: Mapping[int, int] = field(default_factory=dict)

    @property
    def cost(self) -> float:
        """Estimated cost, in weighted tokens."""
        return self.input_tokens + 2.0 * self.output_tokens
