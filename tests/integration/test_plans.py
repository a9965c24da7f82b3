"""Each statement of the hot path uses the index that its comment names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from scheduling.dispatch.endings import Finish, finishes
from scheduling.models import Attempt, Status
from scheduling.reports.level_summaries import parameters as level_parameters
from scheduling.specs import parameters as submit_parameters
from scheduling.statements import (
    CANCEL,
    CLAIM,
    FINISH,
    HEARTBEAT,
    HELD,
    HOLD_PAUSED,
    LEVEL_SUMMARIES,
    LOAD,
    LOST_STREAMS,
    QUEUED,
    RELEASE_BACKLOG,
    RESUME_PAUSED,
    SETTLE,
    STORED,
    SUBMIT,
    SWEEP_DEADLINES,
    SWEEP_DUE,
    SWEEP_LEASES,
    UNSERVED,
    WATCH,
)
from scheduling.waiting.queue_load import parameters as load_parameters
from tests.hot_path import Db, spec, test_database_url

# 40,000 ended jobs and 10,000 that wait or run, as a day's table looks.
ROWS = """
insert into scheduling_job (
    id, status, held_reason, level, model, api, source, stream, flow_id, fair_tag, cost, attempts,
    max_attempts, lease_token, lease_expires_at, worker, cancel_requested, origin, request_id,
    created_at, updated_at, due_at, deadline_at, started_at, finished_at, sequence_key, error_code,
    error_message)
select gen_random_uuid(), s.status, case s.status when 'held' then 'due' else '' end, n % 4,
       'm' || n % 5, 'chat', 'openai', false, 1, n, 10, 1, 3, gen_random_uuid(),
       case s.status when 'processing' then now() + (n || ' s')::interval end, 'w', false, '', '',
       now() - (n || ' s')::interval, now(),
       case s.status when 'held' then now() + (n || ' s')::interval end,
       now() + (n || ' s')::interval, now() - interval '1 s',
       case s.status when 'completed' then now() - (n || ' s')::interval end, gen_random_uuid(),
       '', ''
  from generate_series(1, 50000) n
 cross join lateral (select case when n % 10 < 8 then 'completed' when n % 20 < 10 then 'queued'
                                 when n % 40 < 30 then 'held' else 'processing' end) s(status)
"""
IDS = [uuid4() for _ in range(8)]
LOOKED = {"looked": IDS, "spoke": IDS[:1]}
LEASES = {"id": IDS, "lease_token": IDS}
FINISHES = finishes(
    [
        Finish(
            id=job,
            lease_token=job,
            status=Status.COMPLETED,
            number=1,
            outcome=Attempt.Outcome.OK,
            endpoint_id=1,
            endpoint_name="e",
            prompt_tokens=1,
            completion_tokens=1,
            actual_cost=1.0,
            spent_micros=1,
        )
        for job in IDS
    ]
)
CLAIMS = {
    "level": 2,
    "limit": 8,
    "models": ["m1", "m2"],
    "slots": [8, 8],
    "apis": ["chat,completion", "chat"],
    "worker": "w",
    "lease_seconds": 30,
}


@pytest.fixture
async def filled(database: Db) -> Db:
    await database.flow()
    await database.run("alter sequence scheduling_flow_id_seq restart")
    await database.run(ROWS)
    await database.run("vacuum analyze scheduling_job")
    return database


def plan(statement: str, values: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The nodes of the generic plan's scans of `scheduling_job`."""
    with psycopg.connect(test_database_url(), cursor_factory=psycopg.ClientCursor) as connection:
        text = f"explain (format json) {statement}"
        found: Any = connection.execute(text.encode(), values).fetchone()
        connection.rollback()
    return [node for node in _nodes(found[0][0]["Plan"]) if node["Node Type"].endswith("Scan")]


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


@pytest.mark.parametrize(
    ("statement", "values", "indexes"),
    [
        pytest.param(CLAIM, CLAIMS, {"job_claim"}, id="claim"),
        pytest.param(LOST_STREAMS, None, {"job_leases"}, id="lost_streams"),
        pytest.param(SWEEP_LEASES, LOOKED, {"job_leases"}, id="sweep_leases"),
        pytest.param(SWEEP_DEADLINES, None, {"job_deadlines"}, id="sweep_deadlines"),
        pytest.param(SWEEP_DUE, None, {"job_due", "job_sequence"}, id="sweep_due"),
        pytest.param(QUEUED, {"cap": 100}, {"job_claim"}, id="queued"),
        pytest.param(
            LEVEL_SUMMARIES,
            level_parameters(["m1", "m2"]),
            {"job_claim", "job_held", "job_leases", "job_finished"},
            id="level_summaries",
        ),
        pytest.param(WATCH, None, {"job_claim", "job_held", "job_leases"}, id="watch"),
        pytest.param(
            LOAD,
            load_parameters(["m1", "m2"]),
            {"job_claim", "job_held", "job_leases", "job_finished", "job_created"},
            id="load",
        ),
        pytest.param(HELD, {"cap": 100}, {"job_held"}, id="held"),
        pytest.param(UNSERVED, {"cap": 100, "models": ["m1"]}, {"job_claim"}, id="unserved"),
        pytest.param(
            RELEASE_BACKLOG,
            {"least": 32, "most": 1000},
            {"job_backlog", "job_claim", "job_leases", "job_finished"},
            id="release_backlog",
        ),
        pytest.param(SETTLE, {"heads": 500, "works": 8.0}, {"job_claim"}, id="settle"),
        pytest.param(CANCEL, {"ids": IDS, "why": "w"}, {"pkey"}, id="cancel"),
        pytest.param(HOLD_PAUSED, None, {"job_claim"}, id="hold_paused"),
        pytest.param(RESUME_PAUSED, None, {"job_held"}, id="resume_paused"),
        pytest.param(HEARTBEAT, {**LEASES, "lease_seconds": 30}, {"pkey"}, id="heartbeat"),
        pytest.param(STORED, LEASES, {"pkey"}, id="stored"),
        pytest.param(FINISH, FINISHES, {"pkey"}, id="finish"),
        pytest.param(
            SUBMIT,
            submit_parameters([spec(1, sequence_key=uuid4()) for _ in range(8)]),
            {"job_sequence"},
            id="submit",
        ),
    ],
)
def test_no_statement_reads_the_whole_table(
    filled: Db, statement: str, values: dict[str, Any] | None, indexes: set[str]
) -> None:
    scans = plan(statement, values)

    used = {
        node["Index Name"].replace("scheduling_job_", "") for node in scans if "Index Name" in node
    }
    whole = [node for node in scans if node["Node Type"] == "Seq Scan"]
    assert indexes <= used, used
    assert not [node for node in whole if node["Relation Name"] == "scheduling_job"]
