"""A call of a job to its endpoint: what is sent, and what its course says of the endpoint."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import orjson

from balancing.calls.answer import Answer, Call, Timeouts
from balancing.errors import CallError, TimedOut
from balancing.live.state import Ending
from llmqueue_project.config_sections import BalancingConfig
from scheduling.dispatch.claims import Claimed
from scheduling.dispatch.pool import Bound

ANSWERED, SILENT, FAILED, BUSY = 1, 0, -1, -2
# Fewer tokens say more of the first one than of the speed; of a whole answer it is among them.
STREAM_TOKENS, WHOLE_TOKENS = 8, 32
# Below it a stream is as fast as its reader, and says nothing of how crowded the endpoint is.
CROWDING_TOKEN_SECONDS = 0.005


@dataclass(slots=True)
class Side:
    """One call of a job and the slot that it holds; times are of the loop's clock."""

    bound: Bound
    lease: str
    streamed: bool
    binding: asyncio.Task[None] | None = None
    is_hedge: bool = False
    began: float = 0.0
    spoke_at: float = 0.0
    holds_slot: bool = True
    ended: Ending | None = None

    def begin(self) -> None:
        self.began = asyncio.get_running_loop().time()

    def spoke(self) -> None:
        if not self.spoke_at:
            self.spoke_at = asyncio.get_running_loop().time()

    def answered(self, answer: Answer) -> None:
        """What a whole answer says: time to first token, and time per token."""
        now = asyncio.get_running_loop().time()
        tokens = answer.completion_tokens or 0
        first = self.spoke_at - self.began if self.streamed and self.spoke_at else 0.0
        token, is_stream = 0.0, first > 0.0 and now - self.spoke_at > 0.001
        if is_stream and tokens >= STREAM_TOKENS:
            token = (now - self.spoke_at) / (tokens - 1)
        elif not is_stream and tokens >= WHOLE_TOKENS:
            token = (now - self.began) / tokens
        self.ended = Ending(
            self.bound.target.id,
            self.lease,
            outcome=ANSWERED,
            first_token_seconds=first,
            token_seconds=token,
            is_crowding=is_stream and token >= CROWDING_TOKEN_SECONDS,
        )

    def failed(self, error: CallError) -> None:
        """4xx is the request's fault, and a busy endpoint is none that fails."""
        outcome = FAILED if error.retryable else SILENT
        if error.status == 429:
            outcome = BUSY
        self.ended = Ending(self.bound.target.id, self.lease, outcome=outcome)

    def overdue(self) -> None:
        """It lost to its hedge: that long, at least, its first token takes."""
        now = asyncio.get_running_loop().time()
        first = now - self.began if self.streamed and not self.spoke_at else 0.0
        self.ended = Ending(self.bound.target.id, self.lease, first_token_seconds=first)

    def ending(self) -> Ending:
        return self.ended or Ending(self.bound.target.id, self.lease)


def prepare(job: Claimed, bound: Bound, config: BalancingConfig) -> Call:
    """
    Raises:
        TimedOut: the deadline has passed.
    """
    seconds = config.total_timeout
    if job.deadline_at is not None:
        seconds = min(seconds, job.deadline_at.timestamp() - time.time())
        if seconds <= 0:
            raise TimedOut("total_timeout", "the deadline passed")
    timeouts = Timeouts(
        connect=config.connect_timeout,
        first_token=config.first_token_timeout,
        stall=config.stall_timeout,
        total=seconds,
    )
    body = _renamed(job.body, bound.model) if bound.model else job.body
    return Call(job.id, job.api, body, job.stream, timeouts)


def start_of(job: Claimed, bound: Bound) -> str:
    """What is told when a call begins, as JSON text."""
    started: dict[str, object] = {
        "queue_ms": round(job.waited_seconds * 1000),
        "endpoint": bound.target.name,
        "attempt": job.attempts,
    }
    if bound.model:
        started["model"] = bound.model
    return orjson.dumps(started).decode()


def _renamed(body: str, model: str) -> str:
    return orjson.dumps({**orjson.loads(body), "model": model}).decode()
