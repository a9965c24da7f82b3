"""Which of the calls of one job is kept: the first to speak, decided once.

The first content or whole answer decides. Nothing of the other call is passed on after that. What
comes before the content (a role, an empty delta) is held back until then: while a client has
nothing, another endpoint can take over unseen.
"""

from __future__ import annotations

import asyncio

from balancing.calls.answer import Answer, OnChunk, Piece
from scheduling.execution.call import EndpointCall, start_of
from scheduling.execution.contracts import Entries
from scheduling.execution.run import Run
from scheduling.outbox import DELTA, STARTED, USAGE

# An endpoint that sends empty deltas instead of comments sends more; they say nothing.
MOST_HELD = 100


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
        self._held: dict[EndpointCall, list[tuple[str, Piece]]] = {}

    @property
    def model(self) -> str:
        """The model that answers: the job's, or a fallback."""
        return self.run.placement.model or self.run.job.model

    def decide(self, call: EndpointCall) -> None:
        """The first to speak wins; a hedge that does ends the first call."""
        if self.winner is not None:
            return
        run = self.run
        self.winner = call
        if call is self.second:
            if not self.is_alone and run.task is not None:
                run.task.cancel()
            if run.stream.keep:
                self._outbox.put(run.stream, STARTED, start_of(run.job, call.placement))
        for chunk, piece in self._held.pop(call, ()):
            self._outbox.put(run.stream, DELTA if piece is Piece.FRAME else USAGE, chunk)

    def listener(self, call: EndpointCall) -> OnChunk:
        """Passes on the chunks of a call while it may win or has won."""
        run = self.run

        def on_chunk(chunk: str, piece: Piece) -> None:
            if self.winner is not call:
                if self.winner is not None:
                    return
                if piece is not Piece.CONTENT:
                    self._hold(call, chunk, piece)
                    return
                self.decide(call)
                self._spoke(call)
            if piece is Piece.CONTENT:
                run.pieces += 1
            self._outbox.put(run.stream, USAGE if piece is Piece.USAGE else DELTA, chunk)

        return on_chunk

    def _spoke(self, call: EndpointCall) -> None:
        self.run.spoke = True
        self.run.first_token_at = self.run.job.now
        call.spoke()

    def _hold(self, call: EndpointCall, chunk: str, piece: Piece) -> None:
        held = self._held.setdefault(call, [])
        if len(held) < MOST_HELD:
            held.append((chunk, piece))
