"""What does a choice see: the endpoints at one moment, and what the job asks for?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class EndpointSnapshot:
    """One endpoint at one moment.

    Costs are in weighted tokens: input tokens x 1 + output tokens x 2. Seconds are 0 while nothing
    has been measured.

    Attributes:
        max_concurrent: the most slots its operator allows.
        limit: the learned limit, in whole slots; 0 if none has been learned.
        in_use: slots leased by all workers together.
        free: slots that this choice may take.
        failing_until: Unix time until which its last failure counts; 0 if none does.
        ejected_until: Unix time until which it is ejected; 0 if it is not.
        on_trial: its ejection is over, and one call decides whether it returns.
        returned_at: Unix time of its return, for the slow start; 0 if it was never away.
        is_healthy: whether its server answers probes.
        first_token_seconds: time to first token, moving average.
        peak_first_token_seconds: the same, but it rises at once and falls slowly.
        token_seconds: time per output token of one stream, moving average.
        best_token_seconds: the same while few calls run: it falls at once and rises slowly.
        measured_at: Unix time of the newest of these four; 0 if nothing has been measured.
        running_cost: estimated cost of the calls that run there.
        waiting: calls in its server's own queue, by the last probe.
        requests_left, tokens_left: what its rate limits still allow this minute; None: no limit.
        apis: the APIs that it serves; empty if unknown, which excludes no job.
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
        tried: endpoints that have failed at it since its claim.
        api: chat, completion or embedding.
        input_tokens, output_tokens: estimates.
        affinity: jobs with the same key, such as a conversation's id, should meet the same
            endpoint; may be empty.
        prefix: hashes of the prompt's leading blocks; each covers all text up to the block's end.
        cached: endpoint id -> tokens of the prompt in its prefix cache, as far as known.
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
