"""How are endpoints probed and their limits learned? One worker does both for all workers.

The worker that holds the leadership in Valkey does it. If this worker dies, another one follows
within seconds. The results are stored as live state, which all workers read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from uuid import uuid4

import structlog
from redis.exceptions import RedisError

from balancing import metrics
from balancing.choice.endpoint_view import EndpointView
from balancing.endpoints.target import Target
from balancing.health.probes import Prober, ProbeResult
from balancing.live.state import EMPTY, Live
from balancing.live.store import Fields, LiveStore, Work
from balancing.models.choices import State
from balancing.policies.limits import Goodput
from balancing.policies.probing import Health, Probing
from balancing.policies.trials import Learned
from llmqueue_project.config import configuration

log = structlog.get_logger(__name__)
LEASE_SECONDS = 5.0


class Watch:
    """Probes and learns limits while this process holds the leadership."""

    def __init__(
        self,
        live: LiveStore,
        view: EndpointView,
        *,
        worker: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        config = configuration().balancing
        self._config = config
        self._live = live
        self._view = view
        self._clock = clock
        # With a random part, because a restarted worker has the name of its predecessor.
        self._name = f"{worker}:{uuid4().hex[:8]}"
        self._probing = Probing(config.unhealthy_after, config.healthy_after)
        self._rule = Goodput()
        # By endpoint id; a successor begins from the limits that are stored.
        self._learned: dict[int, Learned] = {}
        self._prober: Prober | None = None
        self._due: dict[int, float] = {}
        self._running: dict[int, asyncio.Task[None]] = {}

    async def once(self) -> None:
        """One round; to be called every second.

        Raises:
            redis.RedisError: Valkey is away.
        """
        if not await self._live.hold_leadership(self._name, seconds=LEASE_SECONDS):
            return
        targets = [t for t in self._view.targets.values() if t.state != State.DISABLED]
        in_use = await self._update_limits(targets)
        if self._config.probe_seconds > 0:
            for target in targets:
                self._probe_if_due(target, in_use.get(target.id, 0))

    async def close(self) -> None:
        for task in self._running.values():
            task.cancel()
        if self._prober is not None:
            await self._prober.close()

    async def _update_limits(self, targets: Sequence[Target]) -> dict[int, int]:
        """Move the learned limits by one step; returns the slots in use by endpoint id."""
        if not targets:
            return {}
        found = await self._live.take_work([target.id for target in targets])
        steps: list[tuple[int, Fields]] = []
        for target in targets:
            work = found[target.id]
            limit, since = self._learn(target, work) if self._config.learn_limits else (0, 0.0)
            if (limit, round(since, 3)) != (work.limit, work.since):
                steps.append((target.id, {"limit": limit, "limit_since": round(since * 1000)}))
        self._learned = {each: known for each, known in self._learned.items() if each in found}
        if steps:
            await self._live.store(steps)
        return {endpoint: work.look.in_use for endpoint, work in found.items()}

    def _learn(self, target: Target, work: Work) -> tuple[int, float]:
        """The limit (0: `max_concurrent`) and since when it is in force."""
        known, most = self._learned.get(target.id), target.max_concurrent
        if known is None:
            # A limit without its instant was learned by another rule.
            limit = work.limit if work.since else 0
            step = Learned.begun(most, limit=limit, now=work.look.now)
        else:
            step = self._rule.step(known, work.look, most=most)
        self._learned[target.id] = step
        return step.limit if step.limit < most else 0, step.since

    def _probe_if_due(self, target: Target, in_use: int) -> None:
        now = self._clock()
        if target.id in self._running or now < self._due.get(target.id, 0.0):
            return
        self._due[target.id] = now + self._config.probe_seconds
        task = asyncio.create_task(self._probe(target, in_use))
        self._running[target.id] = task
        task.add_done_callback(lambda _: self._running.pop(target.id, None))

    async def _probe(self, target: Target, in_use: int) -> None:
        if self._prober is None:
            self._prober = Prober(timeout_seconds=self._config.probe_timeout)
        began = self._view.now
        result = await self._prober.probe(target, in_use=in_use)
        metrics.probes.labels(target.name, "failed" if result.error else "ok").inc()
        try:
            _, states = await self._live.read([target.id])
            fields = self._fields(target, states.get(target.id, EMPTY), result, began)
            await self._live.store([(target.id, fields)])
        except RedisError as error:
            log.info("probe.not_stored", endpoint=target.name, error=str(error))

    def _fields(self, target: Target, live: Live, result: ProbeResult, began: float) -> Fields:
        # A server that answers calls is well, even if it answers no probes.
        is_excused = live.probe_doubted and result.error.startswith("HTTP")
        was_called = live.answered_at > began - self._config.probe_seconds
        answered = not result.error or was_called or is_excused
        before = Health(live.healthy, live.bad_probes, live.good_probes)
        after = self._probing.after(before, answered=answered)
        now = self._view.now
        fields: Fields = {
            "healthy": int(after.is_healthy),
            "bad_probes": after.bad,
            "good_probes": after.good,
            "probed_at": int(now * 1000),
            "probe_error": result.error,
            "waiting": result.waiting or 0,
        }
        if not result.error:
            fields["probe_doubted"] = 0
        if not after.is_healthy and not live.ejected_until:
            fields["ejected_until"] = int((now + self._pause_of(target)) * 1000)
            fields["ejected_why"] = f"probes fail: {result.error}"
        if after.is_healthy and not before.is_healthy:
            fields |= {"returned_at": int(now * 1000), "ejected_until": 0, "failures": 0}
            log.info("endpoint.healthy", endpoint=target.name)
        elif before.is_healthy and not after.is_healthy:
            log.warning("endpoint.unhealthy", endpoint=target.name, error=result.error)
        return fields

    def _pause_of(self, target: Target) -> float:
        """Seconds until a trial call may show that an endpoint works although its probes fail.

        The last way to a model is tried at once: a probe alone does not close it.
        """
        peers = [self._view.live.get(peer, EMPTY) for peer in self._view.peers_of(target.id)]
        has_other = any(peer.healthy and not peer.ejected_until for peer in peers)
        return self._config.ejection_seconds if has_other else 0.0
