"""Which endpoints are ejected because their calls fail, and which return?"""

from __future__ import annotations

from dataclasses import replace

import structlog
from redis.exceptions import RedisError

from balancing import metrics
from balancing.choice.endpoint_view import EndpointView
from balancing.live.state import EMPTY, Verdict
from balancing.live.store import LiveStore
from balancing.policies.ejection import Ejection, is_away
from llmqueue_project.config import configuration

log = structlog.get_logger(__name__)


class Ejector:
    """Applies the ejection rule to verdicts, for all workers, and updates this worker's view."""

    def __init__(self, live: LiveStore, view: EndpointView) -> None:
        config = configuration().balancing
        self._live = live
        self._view = view
        self._rule = Ejection(
            failures=config.ejection_failures,
            seconds=config.ejection_seconds,
            most=config.ejection_share,
        )

    async def judge(self, verdict: Verdict) -> None:
        """Eject the endpoint or let it return. Without Valkey, the next call decides."""
        endpoint = verdict.endpoint_id
        others = self._view.peers_of(endpoint)
        known = [self._view.live.get(other, EMPTY) for other in others]
        away = sum(is_away(live.ejected_until) for live in known)
        probes_fail = not self._view.live.get(endpoint, EMPTY).healthy
        try:
            moved = await self._live.judge(
                verdict, self._rule, others=others, away=away, probes_fail=probes_fail
            )
        except RedisError as error:
            log.info("ejection.waits", endpoint=endpoint, error=str(error))
            return
        if moved is None:
            return
        self._report(endpoint, verdict, is_out=moved.is_out(verdict.at), times=moved.count)
        self._view.live[endpoint] = replace(
            self._view.live.get(endpoint, EMPTY),
            failures=moved.failures,
            ejections=moved.count,
            ejected_until=moved.ejected_until,
            returned_at=moved.returned_at,
            healthy=verdict.succeeded or not probes_fail,
        )
        self._view.work_out_limits()

    def _report(self, endpoint: int, verdict: Verdict, *, is_out: bool, times: int) -> None:
        target = self._view.targets.get(endpoint)
        name = target.name if target else str(endpoint)
        if is_out:
            metrics.ejections.labels(name).inc()
            log.warning("endpoint.ejected", endpoint=name, times=times, why=verdict.reason)
        elif verdict.succeeded:
            log.info("endpoint.returned", endpoint=name)
