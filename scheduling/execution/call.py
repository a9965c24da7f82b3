"""A call of a job to its endpoint: what is sent, and what its course says of the endpoint."""

from __future__ import annotations

import asyncio

import orjson

from balancing.calls.answer import Answer
from balancing.endpoints.model_pools import Rules
from balancing.endpoints.registry import Target
from balancing.errors import Busy, CallError, DeadlinePassed, Exhausted
from balancing.kinds.call import Call, Timeouts
from balancing.live.state import CallOutcome, Ending
from llmqueue_project.config_sections import BalancingConfig
from scheduling.dispatch.claimed import Claimed
from scheduling.dispatch.slot import Placement, Slot

# Fewer tokens say more of the first one than of the speed. An unstreamed answer's time includes
# its first token, so it takes more of them.
STREAM_TOKENS, WHOLE_TOKENS = 8, 32

# Calls that took a slot for a while and made nothing.
FAILURES = (CallOutcome.FAILED, CallOutcome.DOUBTED)


class EndpointCall:
    """One call of a job and the slot that it holds; times are of the loop's clock.

    Attributes:
        began, spoke_at: when it was sent and when its first word came; 0 before that.
    """

    __slots__ = ("_ending", "began", "is_hedge", "slot", "spoke_at", "streamed")

    def __init__(self, slot: Slot, *, streamed: bool, is_hedge: bool = False) -> None:
        self.slot = slot
        self.streamed = streamed
        self.is_hedge = is_hedge
        self.began = 0.0
        self.spoke_at = 0.0
        self._ending: Ending | None = None

    @property
    def placement(self) -> Placement:
        return self.slot.placement

    @property
    def target(self) -> Target:
        return self.slot.placement.target

    def begin(self) -> None:
        self.began = _now()

    def spoke(self) -> None:
        if not self.spoke_at:
            self.spoke_at = _now()

    def answered(self, answer: Answer) -> None:
        """What a whole answer says: time to first token, and time per token."""
        now = _now()
        tokens = answer.completion_tokens or 0
        first = self.spoke_at - self.began if self.streamed and self.spoke_at else 0.0
        token, is_stream = 0.0, first > 0.0 and now - self.spoke_at > 0.001
        if is_stream and tokens >= STREAM_TOKENS:
            token = (now - self.spoke_at) / (tokens - 1)
        elif not is_stream and tokens >= WHOLE_TOKENS:
            token = (now - self.began) / tokens
        self._ending = Ending(
            self.target.id,
            self.slot.lease,
            outcome=CallOutcome.ANSWERED,
            first_token_seconds=first,
            token_seconds=token,
            tokens=tokens,
            seconds=now - self.began,
        )

    def failed(self, error: CallError) -> None:
        """A refused request says nothing of the endpoint, and one that is busy is not failing."""
        outcome = CallOutcome.FAILED if error.retryable else CallOutcome.SILENT
        if isinstance(error, Busy):
            outcome = CallOutcome.EXHAUSTED if isinstance(error, Exhausted) else CallOutcome.BUSY
        elif error.retryable and error.may_be_the_requests:
            outcome = CallOutcome.DOUBTED
        self._ending = Ending(
            self.target.id,
            self.slot.lease,
            outcome=outcome,
            seconds=_now() - self.began if outcome in FAILURES else 0.0,
            avoid_seconds=error.retry_after_seconds if error.retryable else 0.0,
            reason=f"{error.code}: {error}"[:200],
        )

    def overdue(self) -> None:
        """It lost to its hedge: its first token takes at least as long as it has waited."""
        first = _now() - self.began if self.streamed and not self.spoke_at else 0.0
        self._ending = Ending(self.target.id, self.slot.lease, first_token_seconds=first)

    async def release(self) -> None:
        """Free its slot, once, with what its course says of the endpoint."""
        await self.slot.release(self._ending)


def _now() -> float:
    return asyncio.get_running_loop().time()


def prepare(job: Claimed, placement: Placement, config: BalancingConfig, rules: Rules) -> Call:
    """What is sent to the endpoint.

    Args:
        rules: of the model that answers.

    Raises:
        DeadlinePassed
    """
    timeouts = Timeouts(
        connect=config.connect_timeout,
        first_token=rules.first_token_timeout or config.first_token_timeout,
        stall=rules.stall_timeout or config.stall_timeout,
        total=config.total_timeout,
        deadline=_seconds_left(job),
    )
    body = _renamed(job.body, placement.model) if placement.model else job.body
    return Call(job.id, job.api, body, job.stream, timeouts)


def _seconds_left(job: Claimed) -> float:
    seconds = job.seconds_left
    if seconds <= 0:
        raise DeadlinePassed
    return seconds


def start_of(job: Claimed, placement: Placement) -> str:
    """What is told when a call begins, as JSON text."""
    started: dict[str, object] = {
        "queue_ms": round(job.waited_seconds * 1000),
        "endpoint": placement.target.name,
        "attempt": job.attempts,
    }
    if placement.model:
        started["model"] = placement.model
    return orjson.dumps(started).decode()


def _renamed(body: str, model: str) -> str:
    return orjson.dumps({**orjson.loads(body), "model": model}).decode()
