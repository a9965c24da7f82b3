"""The life of one answer: latency, first token, tokens at their pace, end or mishap."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from tests.fake_llm.answers import Question
from tests.fake_llm.batch import Batch
from tests.fake_llm.behaviour import Behaviour
from tests.fake_llm.connection import Connection
from tests.fake_llm.counters import Counters
from tests.fake_llm.dialects import Rendering
from tests.fake_llm.ticker import Ticker

EARLY = 1e-6
"""Of a token: what rounding may take from a clock."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all generations of one endpoint share."""

    loop: asyncio.AbstractEventLoop
    ticker: Ticker
    counters: Counters
    batch: Batch


class Generation:
    """Begins when constructed; ends by `_finish`, `_cut` or the client's `hung_up`."""

    def __init__(
        self,
        connection: Connection,
        asked: Question,
        behaviour: Behaviour,
        frames: Rendering,
        tokens: list[str],
        around: Surroundings,
    ) -> None:
        self._connection = connection
        self._asked = asked
        self._behaviour = behaviour
        self._frames = frames
        self._around = around
        limit = len(tokens) if asked.max_tokens is None else asked.max_tokens
        self._tokens = tokens[:limit]
        self._finish_reason = "length" if limit < len(tokens) else "stop"
        self._sent = 0
        self._first_token_at = 0.0
        self._first_mark = 0.0
        self._over = False
        connection.work = self
        self._call = around.counters.begin(asked.prompt)
        # A control may turn batches on or off while this runs.
        self._batch = around.batch if behaviour.batch and around.batch.size else None
        if self._batch:
            self._first_mark = self._batch.join(around.loop.time()) + 1 + behaviour.prefill
        self._after(behaviour.latency, self._start)

    def hung_up(self) -> None:
        if not self._over:
            self._around.counters.cancelled += 1
            self._leave()

    def _start(self) -> None:
        if not self._asked.stream:
            if self._batch:
                self._at_mark(self._first_mark + len(self._tokens) - 1, self._finish_whole)
            else:
                self._after(self._whole_seconds(), self._finish_whole)
            return
        self._connection.stream_start()
        if self._batch:
            self._at_mark(self._first_mark, self._first_token)
            return
        self._after(self._behaviour.first_token, self._first_token)

    def _first_token(self) -> None:
        self._first_token_at = self._around.loop.time()
        self._emit(self._frames.role())

    def _advance(self) -> None:
        self._emit(b"")

    def _emit(self, opening: bytes) -> None:
        """Send the tokens that are due, then sleep until the next one is."""
        due = self._due()
        rendered = [self._frames.token(word) for word in self._tokens[self._sent : due]]
        self._around.counters.tokens += len(rendered)
        self._sent = due
        if self._sent >= self._reach() and self._mishap():
            self._send(opening, rendered)
            return
        if self._sent == len(self._tokens):
            last = self._frames.last(
                finish_reason=self._finish_reason, completion_tokens=self._sent
            )
            self._connection.stream_end(b"".join([opening, *rendered, last]))
            self._complete()
            return
        self._send(opening, rendered)
        if self._batch:
            self._at_mark(self._first_mark + self._sent, self._advance)
            return
        pace = 1 / self._behaviour.tokens_per_second
        self._around.ticker.at(
            self._first_token_at + self._sent * pace, self._unless_over(self._advance)
        )

    def _at_mark(self, mark: float, step: Callable[[], None]) -> None:
        """Go on when the batch's clock is there, however its pace changes until then."""
        assert self._batch is not None
        now = self._around.loop.time()
        if self._batch.clock(now) >= mark - EARLY:
            step()
            return
        again = self._unless_over(lambda: self._at_mark(mark, step))
        self._around.ticker.at(self._batch.look_again_at(mark, now), again)

    def _send(self, opening: bytes, rendered: list[bytes]) -> None:
        if opening or rendered:
            self._connection.stream_send(b"".join([opening, *rendered]))

    def _due(self) -> int:
        """How many tokens should be out by now."""
        if self._batch:
            passed = self._batch.clock(self._around.loop.time()) - self._first_mark
            return min(int(passed + EARLY) + 1, self._reach())
        rate = self._behaviour.tokens_per_second
        if not rate:
            return self._reach()
        elapsed = self._around.loop.time() - self._first_token_at
        return min(int(elapsed * rate + EARLY) + 1, self._reach())

    def _reach(self) -> int:
        """How many tokens will ever be sent."""
        points = [n for n in (self._behaviour.break_after, self._behaviour.stall_after) if n >= 0]
        return min([len(self._tokens), *points])

    def _mishap(self) -> bool:
        """Cut or stall, if this is where that should happen."""
        if self._sent == self._behaviour.break_after:
            # A tick later, so that what was sent before is not lost with the connection.
            self._after(0.01, self._cut)
            return True
        return self._sent == self._behaviour.stall_after

    def _whole_seconds(self) -> float:
        rate = self._behaviour.tokens_per_second
        return self._behaviour.first_token + (len(self._tokens) / rate if rate else 0.0)

    def _finish_whole(self) -> None:
        if self._behaviour.stall_after >= 0:
            return
        if self._behaviour.break_after >= 0:
            self._cut()
            return
        self._around.counters.tokens += len(self._tokens)
        body = self._frames.whole(
            "".join(self._tokens),
            finish_reason=self._finish_reason,
            completion_tokens=len(self._tokens),
        )
        self._connection.respond(200, body)
        self._complete()

    def _complete(self) -> None:
        self._around.counters.completed += 1
        self._leave()

    def _cut(self) -> None:
        self._around.counters.failures += 1
        self._leave()
        self._connection.cut()

    def _leave(self) -> None:
        self._over = True
        if self._batch:
            self._batch.leave(self._around.loop.time())
        self._around.counters.end(self._call)

    def _after(self, seconds: float, step: Callable[[], None]) -> None:
        if seconds <= 0:
            step()
            return
        self._around.ticker.at(self._around.loop.time() + seconds, self._unless_over(step))

    def _unless_over(self, step: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            if not self._over:
                step()

        return run
