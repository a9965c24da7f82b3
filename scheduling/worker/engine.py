"""One event loop a worker process that does the whole of every request: its life.

Celery's threads hand in tickets; the loop claims, calls, streams and finishes (`parts.py`), and
does its chores beside that (`chores.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future

import psycopg
import structlog
import uvloop
from django.db import OperationalError
from redis.exceptions import RedisError

from balancing.calls.client import Client
from balancing.live.slots import NotReady
from llmqueue_project.config import configuration
from scheduling.execution.run import Run, Stop
from scheduling.models import Priority
from scheduling.tickets.gate import TicketGate
from scheduling.worker.chores import Chores
from scheduling.worker.parts import Parts
from stores.postgres import Database
from stores.valkey import Valkey

log = structlog.get_logger(__name__)
SWITCH_SECONDS = 0.0005
RETRY_SECONDS = 0.5


class Engine:
    """The loop's thread and everything that lives on it.

    Args:
        worker: the name under which it claims.
        gate: shared with Celery's hub.
    """

    def __init__(self, *, worker: str, gate: TicketGate) -> None:
        self._worker = worker
        self._gate = gate
        self._config = configuration()
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._ready: Future[None] = Future()
        self._stopping = asyncio.Event()
        self._parts: Parts
        self._chores: Chores

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
        return asyncio.run_coroutine_threadsafe(self._parts.desk.serve(level), self._loop)

    def take(self, level: Priority, tickets: int) -> None:
        """Serve tickets without being waited for, from any thread."""
        self._loop.call_soon_threadsafe(self._take, level, tickets)

    def _take(self, level: Priority, tickets: int) -> None:
        for _ in range(tickets):
            self._parts.desk.take(level)

    def pull_while(self, is_allowed: Callable[[], bool]) -> None:
        """Fetch tickets from here too, as long as this is true."""
        self._parts.puller.is_allowed = is_allowed

    def running(self) -> list[Run]:
        """What runs now, as seen from any thread."""
        return list(self._parts.runner.running.values())

    def stop(self) -> None:
        """Finish what runs within the grace time, give the rest back, end the thread."""
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._parts.announcer.close()
        self._chores.close()

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
        async with contextlib.AsyncExitStack() as stack:
            self._parts = await self._assemble(stack)
            self._chores = Chores(self._parts, self._config)
            await self._open()
            chores = self._chores.start()
            self._ready.set_result(None)
            await self._stopping.wait()
            await self._drain()
            await self._parts.watch.close()
            for chore in chores:
                chore.cancel()
            await asyncio.gather(*chores, return_exceptions=True)

    async def _assemble(self, stack: contextlib.AsyncExitStack) -> Parts:
        config = self._config
        database = await stack.enter_async_context(Database(config.scheduling.database_pool_size))
        valkey = Valkey.configured()
        stack.push_async_callback(valkey.aclose)
        client = Client()
        stack.push_async_callback(client.close)
        return Parts(
            config,
            database=database,
            valkey=valkey,
            client=client,
            gate=self._gate,
            worker=self._worker,
        )

    async def _open(self) -> None:
        """Wait for both servers: a worker that starts first is no error."""
        while True:
            try:
                await self._chores.prepare()
            except (psycopg.OperationalError, OperationalError, RedisError) as error:
                log.warning("engine.waits", error=str(error))
                if not isinstance(error, RedisError):
                    self._parts.sweeper.spare_leases()
                await asyncio.sleep(RETRY_SECONDS)
            except NotReady:
                break
            else:
                break
        self._gate.on_room(self._parts.puller.room_appeared)
        self._gate.activate()

    async def _drain(self) -> None:
        """Shutting down: no more tickets; running jobs get the grace time, then go back."""
        runner = self._parts.runner
        self._parts.dispatcher.accepting = False
        self._parts.puller.is_allowed = lambda: False
        deadline = self._loop.time() + self._config.scheduling.shutdown_grace_seconds
        while runner.running and self._loop.time() < deadline:
            await asyncio.sleep(0.05)
        tasks = [run.task for run in runner.running.values() if run.task is not None]
        for job_id in list(runner.running):
            runner.stop(job_id, Stop.SHUTDOWN)
        if tasks:
            await asyncio.wait(tasks, timeout=5)
        await self._parts.outbox.drain()
