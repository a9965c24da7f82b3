"""What an engine is made of: its parts, each made once and handed to those above it."""

from __future__ import annotations

from functools import partial

from redis.asyncio import Redis

from balancing.calls.client import Client
from balancing.fitting.client import FittedClient
from balancing.fitting.learned import Lessons
from balancing.health.watch import Watch
from balancing.live.rates import Rates
from balancing.live.slots import Slots
from balancing.live.store import LiveStore
from llmqueue_project.config import Config
from scheduling.dispatch.claims import Claims
from scheduling.dispatch.dispatcher import Dispatcher
from scheduling.dispatch.level_slots import LevelSlots
from scheduling.dispatch.pool import EndpointPool
from scheduling.execution.announcer import Announcer
from scheduling.execution.outcomes import Outcomes
from scheduling.execution.runner import Runner
from scheduling.outbox import Outbox
from scheduling.spoken import spoken
from scheduling.sweep import Sweeper
from scheduling.tickets.gate import TicketGate
from scheduling.tickets.queue import TicketQueue
from scheduling.worker.desk import TicketDesk
from scheduling.worker.puller import Puller
from stores.postgres import Database


class Parts:
    """The parts of one worker process, from the servers up to where tickets come in."""

    def __init__(
        self,
        config: Config,
        *,
        database: Database,
        valkey: Redis,
        client: Client,
        gate: TicketGate,
        worker: str,
    ) -> None:
        leases = config.scheduling.lease_seconds
        reservations = config.balancing.reservation_seconds
        self.database = database
        self.valkey = valkey
        self.gate = gate
        self.queue = TicketQueue(valkey)
        live = LiveStore(valkey)
        slots = Slots(valkey, lease_seconds=leases, reservation_seconds=reservations)
        self.pool = EndpointPool(slots, Rates(valkey), live, database, gate)
        self.lessons = Lessons(valkey)
        self.watch = Watch(live, self.pool.view, worker=worker)
        self.claims = Claims(database, worker=worker, lease_seconds=leases)
        self.levels = LevelSlots(
            valkey, gate, lease_seconds=leases, reservation_seconds=reservations
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
            client=FittedClient(client, self.lessons),
            outbox=self.outbox,
            outcomes=Outcomes(claims=self.claims, outbox=self.outbox, announcer=self.announcer),
        )
        self.dispatcher = Dispatcher(
            claims=self.claims, pool=self.pool, levels=self.levels, gate=gate, queue=self.queue
        )
        self.desk = TicketDesk(
            gate=gate,
            pool=self.pool,
            levels=self.levels,
            dispatcher=self.dispatcher,
            runner=self.runner,
        )
        self.puller = Puller(gate=gate, queue=self.queue, pool=self.pool, desk=self.desk)
        self.sweeper = Sweeper(
            database=database,
            queues=self.queue,
            spoken=partial(spoken, valkey),
            grace_seconds=config.scheduling.heartbeat_seconds,
        )
