"""Which of the calls of one job is kept: the first to speak, decided once.

The first chunk or whole answer decides. Nothing of the other call is passed on after that.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from balancing.calls.answer import Answer, OnChunk, Piece
from scheduling.execution.call import EndpointCall, start_of
from scheduling.execution.contracts import Entries
from scheduling.execution.run import Run
from scheduling.outbox import DELTA, STARTED, USAGE


class Race:
    """The calls of one job, of which the first to speak is kept.

    Attributes:
        is_alone: the first call has failed, and the second one decides.
    """

    def __init__(self, run: Run, outbox: Entries) -> None:
        self.run = run
        self.winner: EndpointCall | None = None
        self.second: EndpointCall | None = None
        self.task: asyncio.Task[Answer | None] | None = None
        self.is_alone = False
        self._outbox = outbox

    @property
    def model(self) -> str:
        """The model that answers: the job's, or a fallback."""
        return self.run.placement.model or self.run.job.model

    def decide(self, call: EndpointCall) -> None:
        """The first to speak wins; a hedge that does ends the first call."""
        if self.winner is not None:
            return
        self.winner = call
        if call is self.second and not self.is_alone and self.run.task is not None:
            self.run.task.cancel()

    def listener(self, call: EndpointCall) -> OnChunk:
        """Passes on the chunks of a call while it may win or has won."""
        run = self.run

        def on_chunk(chunk: str, piece: Piece) -> None:
            is_usage = piece is Piece.USAGE
            if self.winner is not call:
                if self.winner is not None or is_usage:
                    return
                self.decide(call)
                if call is self.second and run.stream.keep:
                    self._outbox.put(run.stream, STARTED, start_of(run.job, call.placement))
            run.pieces += 1
            if not run.spoke and not is_usage:
                run.spoke = True
                run.first_token_at = datetime.now(UTC)
                call.spoke()
            self._outbox.put(run.stream, USAGE if is_usage else DELTA, chunk)

        return on_chunk
