"""Requests, one central queue and six fake endpoints in virtual time.

A request is bound as late as the product binds it: when a slot is free and it is at the head of the
queue. The profile, the limits, the ejection and the hedging are the product's own objects.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Protocol

from balancing.policies.ejection import Ejection, count_out
from balancing.policies.hedging import Budget, Hedging
from balancing.policies.limits import Goodput
from balancing.policies.prefixes import PrefixMemory
from balancing.policies.profile import Profile
from balancing.policies.snapshot import Wanted
from benchmarks.balancing.machine import FIRST, Call, Machine
from benchmarks.balancing.watching import COOLDOWN_SECONDS, MODEL, Watched
from benchmarks.traces import BLOCK_TOKENS, Arrival

LOOK_SECONDS = 1.0
FAILURE_SECONDS = 0.05
"""How soon a failing endpoint answers with its error."""
LEARNING = 0.02
"""Weight of the newest answer in the estimate of output tokens."""


@dataclass(slots=True)
class Done:
    """What became of a request."""

    arrival: Arrival
    seconds: float
    attempts: int
    saved_tokens: int


@dataclass(slots=True)
class Request:
    arrival: Arrival
    worker: int = 0
    tried: set[int] = field(default_factory=set)
    calls: list[Call] = field(default_factory=list)
    attempts: int = 0
    saved_tokens: int = 0
    is_over: bool = False


class Chooser(Protocol):
    """Where the head of the queue goes; None while it has to wait."""

    def choose(self, world: Simulation, request: Request) -> Machine | None: ...


@dataclass(frozen=True, slots=True)
class Product:
    """The product's way: a profile over snapshots of what was measured."""

    profile: Profile

    def choose(self, world: Simulation, request: Request) -> Machine | None:
        snapshots = [watched.snapshot(world.now) for watched in world.watched]
        if not any(seen.free > 0 for seen in snapshots):
            return None
        wanted = world.wanted(request)
        choice = self.profile.choose(snapshots, wanted, now=world.now, rng=world.rng)
        return None if choice is None else world.machines[choice.endpoint.id]


@dataclass(frozen=True, slots=True)
class Change:
    """At an instant a machine becomes so many times slower, or fails a share of its calls."""

    at: float
    machine: int
    slowdown: float = 1.0
    failing: float = 0.0


@dataclass(slots=True)
class Simulation:
    """One run; `run` once.

    Attributes:
        in_flight: running streams are looked at every second; else speed is known at their end.
        workers: processes that remember prefixes apart from each other; slots they see together.
        slot_seconds: slots in use, summed over the run.
    """

    chooser: Chooser
    speeds: Sequence[float]
    slots: int = 16
    limits: Goodput | None = field(default_factory=Goodput)
    ejection: Ejection = field(default_factory=Ejection)
    hedging: Hedging = field(default_factory=Hedging)
    in_flight: bool = False
    seed: int = 1
    weights: Sequence[float] | None = None
    cache_tokens: int = 1_000_000

    now: float = 0.0
    hedges: int = 0
    slot_seconds: float = 0.0
    done: list[Done] = field(default_factory=list)
    machines: list[Machine] = field(init=False)
    watched: list[Watched] = field(init=False)
    rng: random.Random = field(init=False)
    workers: int = 4
    prefixes: list[PrefixMemory] = field(init=False)
    _queue: deque[Request] = field(default_factory=deque)
    _events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = field(
        default_factory=list
    )
    _numbers: count[int] = field(default_factory=count)
    _budget: Budget = field(default_factory=Budget)
    _estimate: float = 0.0
    _running: dict[Call, Request] = field(default_factory=dict)
    _left: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.prefixes = [PrefixMemory() for _ in range(self.workers)]
        self.machines = [
            Machine(number, speed, self.slots, cache_tokens=self.cache_tokens)
            for number, speed in enumerate(self.speeds)
        ]
        weights = self.weights or self.speeds
        self.watched = [Watched(m, w) for m, w in zip(self.machines, weights, strict=True)]

    def run(self, arrivals: Iterable[Arrival], changes: Iterable[Change] = ()) -> list[Done]:
        """Every request to its end; in order of ending."""
        for arrival in arrivals:
            self._later(arrival.ts, self._arrive, arrival)
            self._left += 1
        for change in changes:
            self._later(change.at, self._change, change)
        self._later(LOOK_SECONDS, self._look)
        while self._left:
            at, _, action, arguments = heapq.heappop(self._events)
            self.slot_seconds += (at - self.now) * len(self._running)
            self.now = at
            action(*arguments)
        return self.done

    def wanted(self, request: Request) -> Wanted:
        """The job as the product would describe it: its output is estimated, not known."""
        arrival = request.arrival
        wanted = Wanted(
            MODEL,
            tried=frozenset(request.tried),
            input_tokens=arrival.input_tokens,
            output_tokens=round(self._estimate),
            affinity=arrival.session,
            prefix=_blocks(arrival),
        )
        if not wanted.prefix:
            return wanted
        return replace(wanted, cached=self.prefixes[request.worker].cached(wanted))

    # ---- events -----------------------------------------------------------------------------

    def _later(self, at: float, action: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (at, next(self._numbers), action, arguments))

    def _arrive(self, arrival: Arrival) -> None:
        self._queue.append(Request(arrival, self.rng.randrange(self.workers)))
        self._budget = self.hedging.earn(self._budget)
        self._dispatch()

    def _dispatch(self) -> None:
        while self._queue:
            machine = self.chooser.choose(self, self._queue[0])
            if machine is None:
                return
            self._call(self._queue.popleft(), machine)

    def _call(self, request: Request, machine: Machine, *, is_hedge: bool = False) -> None:
        watched = self.watched[machine.id]
        call = Call(request.arrival, machine, self.now, is_hedge=is_hedge)
        call.is_trial = watched.standing.is_on_trial(self.now)
        request.saved_tokens = machine.begin(call, self.now)
        request.attempts += 1
        request.calls.append(call)
        self._running[call] = request
        if request.arrival.session:
            self.prefixes[request.worker].remember(self.wanted(request), machine.id)
        if machine.failing and self.rng.random() < machine.failing:
            self._later(self.now + FAILURE_SECONDS, self._fail, call)
        elif not is_hedge and self.hedging.applies_to(request.arrival.level):
            after = self.hedging.after_seconds(watched.first_token_seconds)
            self._later(self.now + after, self._hedge, request, call)
        self._schedule(machine)

    def _hedge(self, request: Request, call: Call) -> None:
        """A first token is overdue: ask once more, elsewhere, if a slot is free."""
        if request.is_over or call.first_token_at or call not in self._running:
            return
        budget = self.hedging.spend(self._budget)
        if budget is None or len(request.calls) > 1:
            return
        request.tried.add(call.machine.id)
        machine = self.chooser.choose(self, request)
        if machine is not None and machine is not call.machine:
            self._budget = budget
            self.hedges += 1
            self._call(request, machine, is_hedge=True)

    def _schedule(self, machine: Machine) -> None:
        at = machine.next_at()
        if at < float("inf"):
            self._later(at, self._work, machine, machine.version)

    def _work(self, machine: Machine, version: int) -> None:
        if version != machine.version:
            return
        ended = False
        for what, call in machine.due(self.now):
            if call not in self._running:
                continue
            if what == FIRST:
                self._speak(call)
            else:
                self._finish(call)
                ended = True
        self._schedule(machine)
        if ended:
            self._dispatch()

    def _speak(self, call: Call) -> None:
        call.first_token_at = self.now
        self.watched[call.machine.id].saw_first_token(self.now - call.began_at, self.now)
        for other in list(self._running[call].calls):
            if other is not call and other in self._running:
                self._stop(other)
                self._schedule(other.machine)
                self._later(self.now, self._dispatch)

    def _finish(self, call: Call) -> None:
        request = self._stop(call)
        watched = self.watched[call.machine.id]
        watched.saw_end(call, self.now)
        watched.failing_until = 0.0
        watched.standing = self.ejection.succeeded(watched.standing, now=self.now)
        output = call.arrival.output_tokens
        self._estimate += (LEARNING if self._estimate else 1.0) * (output - self._estimate)
        request.is_over = True
        seconds = self.now - request.arrival.ts
        self.done.append(Done(request.arrival, seconds, request.attempts, request.saved_tokens))
        self._left -= 1

    def _fail(self, call: Call) -> None:
        if call not in self._running:
            return
        request = self._stop(call)
        watched = self.watched[call.machine.id]
        watched.failing_until = self.now + COOLDOWN_SECONDS
        others = [w.standing for w in self.watched if w is not watched]
        watched.standing = self.ejection.failed(
            watched.standing, now=self.now, out=count_out(others), of=len(self.watched)
        )
        request.tried.add(call.machine.id)
        request.calls.remove(call)
        if not request.calls:
            self._queue.appendleft(request)
        self._schedule(call.machine)
        self._dispatch()

    def _stop(self, call: Call) -> Request:
        call.machine.end(call, self.now)
        return self._running.pop(call)

    def _look(self) -> None:
        for watched in self.watched:
            watched.look(self.limits, self.now, in_flight=self.in_flight)
        self._later(self.now + LOOK_SECONDS, self._look)
        self._dispatch()

    def _change(self, change: Change) -> None:
        machine = self.machines[change.machine]
        machine.slow_down(change.slowdown, self.now)
        machine.failing = change.failing
        self._schedule(machine)


def _blocks(arrival: Arrival) -> tuple[str, ...]:
    """Names for the prompt's blocks; the trace keeps none, sessions stand in for them."""
    if not arrival.session:
        return ()
    blocks = -(-arrival.input_tokens // BLOCK_TOKENS)
    return tuple(f"{arrival.session}:{n}" for n in range(blocks))
