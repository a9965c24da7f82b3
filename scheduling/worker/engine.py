"""One event loop a worker process that does the whole of every request.

Celery's threads hand in tickets and wait (task gear); the loop claims, calls, streams, finishes,
renews leases, listens for cancellations and sweeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import structlog
import uvloop
from django.db import OperationalError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from balancing import declared
from balancing.calls.client import Client
from balancing.discovery import rounds as discovery
from balancing.health.watch import Watch
from balancing.live.rates import Rates
from balancing.live.slots import NotReady, Slots
from balancing.live.store import LiveStore
from llmqueue_project.config import configuration
from scheduling import usage
from scheduling.dispatch.claims import Claimed, Claims
from scheduling.dispatch.dispatcher import Dispatcher
from scheduling.dispatch.level_slots import LevelSlots
from scheduling.dispatch.pool import Bound, EndpointPool
from scheduling.dispatch.puller import Puller
from scheduling.execution.announcer import Announcer, closing
from scheduling.execution.outcomes import Outcomes
from scheduling.execution.run import CANCELLED, LOST, SHUTDOWN
from scheduling.execution.runner import Runner
from scheduling.models import Priority
from scheduling.outbox import Outbox
from scheduling.pauses import PAUSES, Pauses
from scheduling.sweep import Sweeper
from scheduling.tickets.gate import gate
from scheduling.waiting import caps as level_caps
from stores import control
from stores.postgres import Database, fetch
from stores.valkey import Valkey

log = structlog.get_logger(__name__)
REFRESH_SECONDS = 0.25
WATCH_SECONDS = 1.0
SWITCH_SECONDS = 0.0005
USAGE_SECONDS = 5.0


class Engine:
    """The loop's thread and everything that lives on it."""

    def __init__(self, *, worker: str) -> None:
        self._worker = worker
        self._config = configuration()
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._ready: Future[None] = Future()
        self._stopping = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()
        self._discoverer = ThreadPoolExecutor(1, "discover")

    def start(self) -> None:
        """Start the thread; returns when the loop serves.

        Raises:
            whatever kept it from starting, such as a database without tables.
        """
        # The hub's thread and this one hand the interpreter to each other several times a request;
        # at Python's 5 ms a loop that became ready waits for all of them.
        sys.setswitchinterval(SWITCH_SECONDS)
        self._thread.start()
        self._ready.result(timeout=60)

    def serve(self, level: Priority) -> None:
        """Serve one ticket, from any thread, to the end of the job it got."""
        self.serve_soon(level).result()

    def serve_soon(self, level: Priority) -> Future[None]:
        """Serve one ticket; the future ends with the job it got."""
        return asyncio.run_coroutine_threadsafe(self._serve(level), self._loop)

    def take(self, level: Priority, tickets: int) -> None:
        """Serve tickets without being waited for, from any thread."""
        self._loop.call_soon_threadsafe(self._take, level, tickets)

    def _take(self, level: Priority, tickets: int) -> None:
        for _ in range(tickets):
            self.dispatcher.take(level)

    def pull_while(self, is_allowed: Callable[[], bool]) -> None:
        """Fetch tickets from here too, as long as this is true."""
        self.puller.is_allowed = is_allowed

    def stop(self) -> None:
        """Finish what runs within the grace time, give the rest back, end the thread."""
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self.announcer.close()
        self._discoverer.shutdown()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._live())
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)
        finally:
            self._loop.close()

    async def _live(self) -> None:
        config = self._config
        async with contextlib.AsyncExitStack() as stack:
            database = await stack.enter_async_context(
                Database(config.scheduling.database_pool_size)
            )
            valkey = Valkey.from_url(
                config.redis_url.get_secret_value(), socket_timeout=5, socket_connect_timeout=2
            )
            stack.push_async_callback(valkey.aclose)
            client = Client()
            stack.push_async_callback(client.close)
            self._build(database, valkey, client)
            await self._open()
            tasks = [
                asyncio.create_task(chore)
                for chore in (
                    self._every(REFRESH_SECONDS, self._look_for_room),
                    self._every(config.balancing.registry_seconds, self._refresh),
                    self._every(config.balancing.refresh_seconds, self.pool.look),
                    self._every(WATCH_SECONDS, self.watch.once),
                    self._every(config.scheduling.heartbeat_seconds, self._heartbeat),
                    self._every(config.scheduling.sweep_seconds, self.sweeper.once),
                    self._every(config.balancing.registry_seconds, self._discover),
                    self._every(USAGE_SECONDS, self._fold_usage),
                    self._every(config.scheduling.capacity_seconds, self._refresh_caps),
                    control.listen(valkey, control.CHANNEL, self._hear),
                )
            ]
            self._ready.set_result(None)
            await self._stopping.wait()
            await self._drain()
            await self.watch.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _build(self, database: Database, valkey: Redis, client: Client) -> None:
        config = self._config
        self._database = database
        slots = Slots(
            valkey,
            lease_seconds=config.scheduling.lease_seconds,
            reservation_seconds=config.balancing.reservation_seconds,
        )
        live = LiveStore(valkey)
        self.pool = EndpointPool(slots, Rates(valkey), live, database)
        self.watch = Watch(live, self.pool.landscape, worker=self._worker)
        self.claims = Claims(
            database, worker=self._worker, lease_seconds=config.scheduling.lease_seconds
        )
        self.outbox = Outbox(
            valkey,
            flush_seconds=config.streaming.flush_seconds,
            max_entries=config.streaming.max_entries,
            expiry_seconds=config.streaming.expiry_seconds,
        )
        self.announcer = Announcer(self.outbox)
        self.runner = Runner(
            claims=self.claims,
            pool=self.pool,
            gate=gate,
            client=client,
            outbox=self.outbox,
            outcomes=Outcomes(
                claims=self.claims, outbox=self.outbox, announce=self.announcer.announce
            ),
        )
        self.levels = LevelSlots(
            valkey,
            gate,
            lease_seconds=config.scheduling.lease_seconds,
            reservation_seconds=config.balancing.reservation_seconds,
        )
        self.dispatcher = Dispatcher(
            claims=self.claims,
            pool=self.pool,
            levels=self.levels,
            gate=gate,
            client=valkey,
            start=self._begin,
        )
        self.puller = Puller(gate=gate, client=valkey, pool=self.pool, dispatcher=self.dispatcher)
        self.sweeper = Sweeper(database=database, client=valkey, on_end=self.announcer.swept)

    async def _open(self) -> None:
        """Wait for both servers: a worker that starts first is no error."""
        while True:
            try:
                await self._declare()
                await self._refresh()
                self.pool.check_credentials()
                await self.pool.look()
                await self._refresh_caps()
                reservation = await self.pool.reserve(0)
            except (psycopg.OperationalError, OperationalError, RedisError) as error:
                log.warning("engine.waits", error=str(error))
            except NotReady:
                break
            else:
                gate.settle(tickets=0, room=self.pool.free(reservation), since=gate.mark())
                break
            await asyncio.sleep(0.5)
        gate.on_room(self.puller.room_appeared)
        gate.activate()

    async def _serve(self, level: int) -> None:
        ended = await self.dispatcher.serve(level)
        if ended is not None:
            await ended

    def _begin(self, job: Claimed, bound: Bound, binding: asyncio.Task[None]) -> Awaitable[None]:
        task = asyncio.create_task(self.runner.run(job, bound, binding))
        task.add_done_callback(lambda _: self.levels.release(job))
        return task

    async def _every(self, seconds: float, chore: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await chore()
            except (psycopg.OperationalError, OperationalError, RedisError, NotReady) as error:
                log.info("engine.chore_waits", chore=chore.__qualname__, error=str(error))
            except Exception:
                log.exception("engine.chore_failed", chore=chore.__qualname__)

    async def _look_for_room(self) -> None:
        """Slots that other workers freed, endpoints that were added: nobody else tells us."""
        if not gate.is_short:
            return
        mark = gate.mark()
        if gate.capped:
            await self.levels.look()
        reservation = await self.pool.reserve(0)
        gate.settle(tickets=0, room=self.pool.free(reservation), since=mark)
        gate.reopen()

    async def _refresh(self) -> None:
        """Endpoints and pauses, as operators have set them."""
        await self.pool.refresh()
        await self._see_pauses()

    async def _discover(self) -> None:
        """Endpoints and models that appear and vanish by themselves (balancing/discovery)."""
        await self._loop.run_in_executor(self._discoverer, closing(discovery.run_due))

    async def _fold_usage(self) -> None:
        await usage.fold(self._database.relaxed)

    async def _declare(self) -> None:
        """Have the endpoints that the configuration names."""
        await self._loop.run_in_executor(self._discoverer, closing(declared.apply_configured))

    async def _refresh_caps(self) -> None:
        """How many slots each level may hold, by the configured strategy."""
        await self.levels.follow(await level_caps.compute(self._database, self.pool.allowed()))

    async def _see_pauses(self) -> None:
        gate.pause(Pauses.of_rows(await fetch(self._database.relaxed, PAUSES)).levels)

    async def _heartbeat(self) -> None:
        # Slots first: they must not lapse because PostgreSQL is away.
        await self._keep_slots()
        runs = [run for run in self.runner.running.values() if not run.ending]
        if runs:
            leases = await self.claims.heartbeat([run.job for run in runs])
            for run in runs:
                if run.job.id not in leases:
                    self.runner.stop(run.job.id, LOST)
                elif leases[run.job.id]:
                    self.runner.stop(run.job.id, CANCELLED)

    async def _keep_slots(self) -> None:
        held: dict[int, list[str]] = {}
        for run in self.runner.running.values():
            for endpoint, lease in run.slots:
                held.setdefault(endpoint, []).append(lease)
        try:
            await self.pool.renew(held)
            await self.levels.renew([run.job for run in self.runner.running.values()])
        except RedisError as error:
            log.info("slots.renewal_waits", error=str(error))

    def _hear(self, message: bytes) -> None:
        news = json.loads(message)
        if "cancel" in news:
            self.runner.stop(UUID(news["cancel"]), CANCELLED)
        if "pauses" in news:
            self._background.add(task := asyncio.create_task(self._hear_pauses()))
            task.add_done_callback(self._background.discard)

    async def _hear_pauses(self) -> None:
        try:
            await self._see_pauses()
        except psycopg.OperationalError as error:
            log.info("engine.pauses_wait", error=str(error))

    async def _drain(self) -> None:
        """Shutting down: no more tickets; running jobs get the grace time, then go back."""
        self.dispatcher.accepting = False
        self.puller.is_allowed = lambda: False
        deadline = self._loop.time() + self._config.scheduling.shutdown_grace_seconds
        while self.runner.running and self._loop.time() < deadline:
            await asyncio.sleep(0.05)
        tasks = [run.task for run in self.runner.running.values() if run.task is not None]
        for job_id in list(self.runner.running):
            self.runner.stop(job_id, SHUTDOWN)
        if tasks:
            await asyncio.wait(tasks, timeout=5)
        await self.outbox.drain()
