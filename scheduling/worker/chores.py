"""What an engine does beside the requests, each on a timer of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import structlog
from django.db import OperationalError
from redis.exceptions import RedisError

from balancing import declared
from balancing.discovery import rounds as discovery
from balancing.live.slots import NotReady
from llmqueue_project.config import Config
from scheduling import usage
from scheduling.dispatch.pool import QUIET_SECONDS
from scheduling.execution.announcer import closing
from scheduling.execution.run import Run, Stop
from scheduling.pauses import PAUSES, Pauses
from scheduling.waiting import caps
from scheduling.worker.parts import Parts
from stores import control
from stores.postgres import fetch
from stores.valkey_watch import ValkeyWatch

log = structlog.get_logger(__name__)
ROOM_SECONDS = 0.25
WATCH_SECONDS = 1.0
SOON_SECONDS = 1.0
USAGE_SECONDS = 5.0
LESSONS_SECONDS = 5.0

Chore = Callable[[], Coroutine[Any, Any, Any]]


class Chores:
    """The chores of one worker process; a server that is away only puts them off."""

    def __init__(self, parts: Parts, config: Config) -> None:
        self._parts = parts
        self._config = config
        self._background: set[asyncio.Task[None]] = set()
        # Discovery and declared endpoints use the ORM, one at a time and not on the loop.
        self._thread = ThreadPoolExecutor(1, "discover")

    def start(self) -> list[asyncio.Task[None]]:
        """One task a chore, each to be cancelled at the end."""
        balancing, scheduling = self._config.balancing, self._config.scheduling
        timers: list[tuple[float, Chore]] = [
            (ROOM_SECONDS, self.look_for_room),
            (QUIET_SECONDS / 3, self.remember),
            (balancing.registry_seconds, self.refresh),
            (balancing.refresh_seconds, self._parts.pool.refresh_live),
            (WATCH_SECONDS, self._parts.watch.once),
            (scheduling.heartbeat_seconds, self.heartbeat),
            (scheduling.sweep_seconds, self.sweep),
            (balancing.registry_seconds, self._discover),
            (USAGE_SECONDS, self._fold_usage),
            (LESSONS_SECONDS, self._parts.lessons.refresh),
            (scheduling.capacity_seconds, self.refresh_caps),
        ]
        tasks = [asyncio.create_task(_every(seconds, chore)) for seconds, chore in timers]
        listening = control.listen(self._parts.valkey, control.CHANNEL, self.hear)
        watching = ValkeyWatch(self._parts.valkey).run()
        return [*tasks, asyncio.create_task(listening), asyncio.create_task(watching)]

    def close(self) -> None:
        self._thread.shutdown()

    async def prepare(self) -> None:
        """Read everything once, before the first ticket.

        Raises:
            psycopg.OperationalError, django.db.OperationalError, redis.RedisError: a server is
                away; call again.
            NotReady: Valkey gives no slots yet; all else is read.
        """
        parts = self._parts
        await self._in_thread(declared.apply_configured)
        await self.refresh()
        parts.pool.check_credentials()
        await parts.pool.refresh_live()
        await parts.lessons.refresh()
        await self.refresh_caps()
        mark = parts.gate.mark()
        room = await parts.pool.reserve(0)
        parts.gate.update(tickets=0, room=room.free, since=mark)

    async def look_for_room(self) -> None:
        """Slots that other workers freed, endpoints that were added: nobody else tells us."""
        gate = self._parts.gate
        if not gate.is_short:
            return
        mark = gate.mark()
        if gate.capped:
            await self._parts.levels.look()
        room = await self._parts.pool.reserve(0)
        gate.update(tickets=0, room=room.free, since=mark)
        gate.reopen()

    async def refresh(self) -> None:
        """Endpoints and pauses, as operators have set them."""
        await self._parts.pool.refresh()
        await self._refresh_pauses()

    async def refresh_caps(self) -> None:
        """How many slots each level may hold, by the configured strategy."""
        allowed = self._parts.pool.allowed()
        await self._parts.levels.follow(await caps.compute(self._parts.database, allowed))

    async def heartbeat(self) -> None:
        """Renew slots and leases; stop jobs whose lease was lost or that are to be cancelled.

        A job whose end cannot be stored yet keeps its lease, so that nobody generates its answer
        again. One whose end has just been stored has no lease any more, and nothing stops it.
        """
        # Slots first: they must not lapse because PostgreSQL is away.
        await self._keep_slots()
        runner = self._parts.runner
        runs = list(runner.running.values())
        if runs:
            leases = await self._parts.claims.heartbeat([run.job for run in runs])
            for run in runs:
                if run.ending:
                    continue
                if run.job.id not in leases:
                    runner.stop(run.job.id, Stop.LOST)
                elif leases[run.job.id]:
                    runner.stop(run.job.id, Stop.CANCELLED)

    async def remember(self) -> None:
        """Tell a Valkey that has lost its memory, at once, what runs here."""
        runs = list(self._parts.runner.running.values())
        if await self._parts.pool.remember(_held(runs)):
            await self._parts.levels.renew([run.job for run in runs])

    async def sweep(self) -> None:
        """Repair what crashes left behind; tell of the jobs that the sweep brought to their end."""
        for job in await self._parts.sweeper.once():
            await self._parts.announcer.swept(job)

    def hear(self, message: bytes) -> None:
        """News of the control channel."""
        news = json.loads(message)
        if "cancel" in news:
            self._parts.runner.stop(UUID(news["cancel"]), Stop.CANCELLED)
        if "pauses" in news:
            self._background.add(task := asyncio.create_task(self._hear_pauses()))
            task.add_done_callback(self._background.discard)

    async def _keep_slots(self) -> None:
        runs = list(self._parts.runner.running.values())
        try:
            await self._parts.pool.renew(_held(runs))
            await self._parts.levels.renew([run.job for run in runs])
        except RedisError as error:
            log.info("slots.renewal_waits", error=str(error))

    async def _refresh_pauses(self) -> None:
        rows = await fetch(self._parts.database.relaxed, PAUSES)
        self._parts.gate.pause(Pauses.of_rows(rows).levels)

    async def _hear_pauses(self) -> None:
        try:
            await self._refresh_pauses()
        except psycopg.OperationalError as error:
            log.info("engine.pauses_wait", error=str(error))

    async def _discover(self) -> None:
        """Endpoints and models that appear and vanish by themselves (balancing/discovery)."""
        await self._in_thread(discovery.run_due)

    async def _fold_usage(self) -> None:
        await usage.fold(self._parts.database.relaxed)

    async def _in_thread(self, work: Callable[[], Any]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, closing(work))


def _held(runs: Iterable[Run]) -> dict[int, list[str]]:
    """The leases of what runs, by endpoint id."""
    held: dict[int, list[str]] = {}
    for run in runs:
        for endpoint, lease in run.slots:
            held.setdefault(endpoint, []).append(lease)
    return held


async def _every(seconds: float, chore: Chore) -> None:
    """Do a chore again and again; soon again while a server is away."""
    pause = seconds
    while True:
        await asyncio.sleep(pause)
        pause = seconds
        try:
            await chore()
        except (psycopg.OperationalError, OperationalError, RedisError, NotReady) as error:
            log.info("engine.chore_waits", chore=chore.__qualname__, error=str(error))
            pause = min(seconds, SOON_SECONDS)
        except Exception:
            log.exception("engine.chore_failed", chore=chore.__qualname__)
