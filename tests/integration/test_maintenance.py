"""Pauses as rows and statements: who is held, in which order, and what comes back."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from redis.asyncio import Redis

from balancing.models import Endpoint
from conversations.models import Tenant
from scheduling import pauses, services
from scheduling.dispatch.claims import Claims
from scheduling.errors import NotPaused
from scheduling.models import Held, Job, LevelClock, Pause, Priority, Status
from scheduling.spoken import spoken
from scheduling.statements import RESUME_PAUSED, SWEEP_DUE
from scheduling.sweep import Sweeper
from scheduling.tickets.queue import TicketQueue
from tests.hot_path import MODEL, Db, spec

TENANT, OTHER = uuid4(), uuid4()
PAUSE = """
insert into scheduling_pause (scope, key, reason, since, operator)
values (%(scope)s, %(key)s, '', now(), '')
"""


def waiting(tenant: UUID = TENANT, **fields: Any) -> UUID:
    flow = services.flow_for(key=f"tenant:{tenant}", name=str(tenant))
    return services.submit(spec(flow, tenant_id=tenant, **fields)).job_id


def state(job_id: UUID) -> tuple[str, str]:
    job = Job.objects.get(pk=job_id)
    return job.status, job.held_reason


@pytest.mark.django_db
class TestTenant:
    def test_what_waits_is_held_and_others_are_not(self) -> None:
        mine, theirs = waiting(), waiting(OTHER)

        held = pauses.pause_tenant(tenant_id=TENANT, reason="late", operator="ada")

        assert held == 1
        assert state(mine) == (Status.HELD, Held.PAUSED)
        assert state(theirs) == (Status.QUEUED, "")
        row = Pause.objects.get()
        assert (row.scope, row.key) == ("tenant", str(TENANT))
        assert (row.reason, row.operator) == ("late", "ada")

    def test_new_jobs_are_held_by_the_statement_that_stores_them(self) -> None:
        pauses.pause_tenant(tenant_id=TENANT)

        assert state(waiting()) == (Status.HELD, Held.PAUSED)
        assert state(waiting(OTHER)) == (Status.QUEUED, "")

    def test_resumed_jobs_keep_their_order_and_get_no_credit(self) -> None:
        jobs = [waiting(cost=10.0) for _ in range(3)]
        pauses.pause_tenant(tenant_id=TENANT)
        jobs += [waiting(cost=10.0) for _ in range(2)]
        LevelClock.objects.filter(level=Priority.NORMAL).update(virtual_time=1000.0)

        assert pauses.resume_tenant(tenant_id=TENANT) == 5

        rows = Job.objects.filter(pk__in=jobs).order_by("fair_tag")
        assert [row.pk for row in rows] == jobs
        assert [row.fair_tag for row in rows] == [1000, 1010, 1020, 1030, 1040]
        assert Job.objects.get(pk=waiting(cost=10.0)).fair_tag == 1050

    def test_pausing_twice_is_pausing_once(self) -> None:
        pauses.pause_tenant(tenant_id=TENANT, reason="a")
        pauses.pause_tenant(tenant_id=TENANT, reason="b")

        assert Pause.objects.get().reason == "b"
        pauses.resume_tenant(tenant_id=TENANT)
        with pytest.raises(NotPaused):
            pauses.resume_tenant(tenant_id=TENANT)

    def test_a_flow_paused_as_well_goes_on_waiting(self) -> None:
        job = waiting()
        flow_id = Job.objects.get(pk=job).flow_id
        pauses.pause_tenant(tenant_id=TENANT)
        pauses.pause_flow(flow_id=flow_id)

        assert pauses.resume_tenant(tenant_id=TENANT) == 0
        assert state(job) == (Status.HELD, Held.PAUSED)
        assert pauses.resume_flow(flow_id=flow_id) == 1
        assert state(job) == (Status.QUEUED, "")

    def test_the_next_turn_waits_behind_a_paused_one(self) -> None:
        key = uuid4()
        first, second = waiting(sequence_key=key), waiting(sequence_key=key)
        pauses.pause_tenant(tenant_id=TENANT)

        assert state(first) == (Status.HELD, Held.PAUSED)
        assert state(second) == (Status.HELD, Held.TURN)
        assert services.next_held_turn(sequence_key=key) is None

        Job.objects.filter(pk=first).update(status=Status.COMPLETED, held_reason="")
        assert services.next_held_turn(sequence_key=key) == second
        assert services.release_turn(job_id=second, body="{}")
        assert state(second) == (Status.HELD, Held.PAUSED)
        assert pauses.resume_tenant(tenant_id=TENANT) == 1
        assert state(second) == (Status.QUEUED, "")

    def test_a_dead_letter_queued_again_is_held(self) -> None:
        job = waiting()
        Job.objects.filter(pk=job).update(status=Status.FAILED, finished_at=timezone.now())
        pauses.pause_tenant(tenant_id=TENANT)

        assert services.requeue(job_id=job) == Status.HELD
        assert state(job) == (Status.HELD, Held.PAUSED)

    def test_a_held_job_can_be_cancelled(self) -> None:
        job = waiting()
        pauses.pause_tenant(tenant_id=TENANT)

        assert services.cancel(job_id=job) == Status.CANCELLED


@pytest.mark.django_db
class TestWhole:
    def test_a_drain_pauses_intake_and_every_level(self) -> None:
        pauses.drain(reason="move")

        seen = pauses.in_force()
        assert seen.intake
        assert seen.levels == {"realtime", "high", "normal", "low"}
        pauses.resume_all()
        assert not pauses.in_force().reasons

    def test_resuming_everything_queues_what_was_held(self) -> None:
        job = waiting()
        pauses.pause_tenant(tenant_id=TENANT)

        pauses.resume_all()

        assert state(job) == (Status.QUEUED, "")


async def test_a_job_that_comes_due_while_paused_is_held(database: Db) -> None:
    flow = await database.flow()
    (job,) = await database.submit(
        spec(flow, tenant_id=TENANT, due_at=datetime(2099, 1, 1, tzinfo=UTC))
    )
    await database.run(PAUSE, scope="tenant", key=str(TENANT))
    await database.run("update scheduling_job set due_at = now() - interval '1 s'")

    await database.rows(SWEEP_DUE)

    assert await database.job(job.job_id, "status, held_reason") == ("held", "paused")


async def test_the_sweep_mends_what_a_pause_and_its_end_missed(database: Db, valkey: Redis) -> None:
    witness = partial(spoken, valkey)
    sweeper = Sweeper(database=database.pools, queues=TicketQueue(valkey), spoken=witness)
    flow = await database.flow()
    (job,) = await database.submit(spec(flow, tenant_id=TENANT))
    await database.run(PAUSE, scope="tenant", key=str(TENANT))

    assert await sweeper.once() == []
    assert await database.job(job.job_id, "status, held_reason") == ("held", "paused")

    await database.run("delete from scheduling_pause")
    assert await sweeper.once() == []
    assert await database.status(job.job_id) == Status.QUEUED
    assert await valkey.llen("normal") >= 1


async def test_pauses_of_others_leave_the_claim_alone(database: Db) -> None:
    claims = Claims(database.pools, worker="w", lease_seconds=30)
    flow = await database.flow()
    first, second = await database.submit(*(spec(flow, tenant_id=TENANT) for _ in range(2)))
    await claims.claim(int(Priority.NORMAL), limit=1, room={MODEL: 1})
    await database.run(PAUSE, scope="tenant", key=str(OTHER))

    await database.rows(RESUME_PAUSED)

    assert await database.status(first.job_id) == Status.PROCESSING
    assert await database.status(second.job_id) == Status.QUEUED


def command(name: str, *arguments: str) -> str:
    said = StringIO()
    call_command(name, *arguments, stdout=said)
    return said.getvalue()


@pytest.mark.django_db
class TestCommands:
    def test_maintenance_pauses_resumes_and_tells(self) -> None:
        tenant = Tenant.objects.create(name="acme")
        waiting(tenant.pk)

        assert "1 waiting" in command("maintenance", "pause-tenant", "acme", "--reason", "late")
        command("maintenance", "pause-intake")
        command("maintenance", "pause-level", "low")
        told = command("maintenance", "status")
        assert "tenant acme paused since" in told
        assert ": late" in told
        assert "level low paused" in told
        assert "1 requests are queued again" in command("maintenance", "resume-tenant", "acme")
        command("maintenance", "resume-intake")
        command("maintenance", "resume-level", "low")

        assert "nothing is paused" in command("maintenance", "status")
        assert "0 requests run" in command("maintenance", "drain", "--wait", "1")
        assert "nothing is paused" in command("maintenance", "resume-all")

    @pytest.mark.parametrize(
        "arguments",
        [
            ("pause-level",),
            ("pause-level", "urgent"),
            ("pause-tenant", "nobody"),
            ("pause-intake", "low"),
            ("resume-intake",),
        ],
    )
    def test_mistakes_are_told(self, arguments: tuple[str, ...]) -> None:
        with pytest.raises(CommandError):
            call_command("maintenance", *arguments)

    def test_capacity_says_what_waits_and_why(self) -> None:
        Endpoint.objects.create(
            name="one", base_url="http://one/v1", model_names=[MODEL], max_concurrent=4
        )
        for _ in range(3):
            waiting(level=Priority.LOW)
        waiting(model="nowhere", level=Priority.HIGH)
        waiting(due_at=datetime(2099, 1, 1, tzinfo=UTC))
        pauses.pause_tenant(tenant_id=OTHER)
        waiting(OTHER)
        pauses.pause_level(level=Priority.LOW)

        told = command("capacity")

        assert "low: 3 wait: the level is paused" in told
        assert "high: 1 wait for nowhere, which no enabled endpoint serves" in told
        assert "normal: 1 held: due later" in told
        assert "normal: 1 held: paused" in told
        assert "one       enabled  0/4" in told
        assert "desired replicas: " in told

    def test_capacity_of_nothing(self) -> None:
        told = command("capacity")

        assert "nothing waits" in told
        assert "desired replicas: 0" in told
