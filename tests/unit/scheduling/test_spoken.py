"""The witness of what a lost attempt has sent: its stream in Valkey."""

from __future__ import annotations

from uuid import uuid4

import pytest
from redis.asyncio import Redis

from scheduling.outbox import DELTA, FINAL, RESET, STARTED, USAGE, stream_key
from scheduling.spoken import spoken


@pytest.mark.parametrize(
    ("entries", "is_told"),
    [
        pytest.param([], False, id="Valkey has lost its memory"),
        pytest.param(["2-1 " + STARTED], False, id="silent"),
        pytest.param(["2-1 " + STARTED, "2-2 " + STARTED], False, id="silent, and hedged"),
        pytest.param(["1-1 " + STARTED, "1-2 " + DELTA], False, id="an earlier attempt"),
        pytest.param(["1-2 " + DELTA, "1-3 " + RESET, "2-1 " + STARTED], False, id="begun anew"),
        pytest.param(["2-1 " + STARTED, "2-2 " + DELTA], True, id="spoke"),
        pytest.param(["2-1 " + STARTED, "2-2 " + STARTED, "2-3 " + DELTA], True, id="hedged"),
        pytest.param(["2-1 " + STARTED, "2-2 " + USAGE, "2-3 " + USAGE], True, id="usage first"),
        pytest.param([f"2-{n} " + DELTA for n in range(9, 99)], True, id="its start was cut off"),
        pytest.param(["3-1 " + FINAL], False, id="another has ended it"),
    ],
)
async def test_text_of_the_lost_attempt(valkey: Redis, entries: list[str], is_told: bool) -> None:
    job_id = uuid4()
    for entry in entries:
        identifier, kind = entry.split()
        await valkey.xadd(stream_key(job_id), {"k": kind, "d": "{}"}, id=identifier)

    assert await spoken(valkey, {job_id: 2}) == ({job_id} if is_told else set())


async def test_of_several_jobs_those_that_spoke(valkey: Redis) -> None:
    told, silent = uuid4(), uuid4()
    await valkey.xadd(stream_key(told), {"k": DELTA, "d": "{}"}, id="1-1")
    await valkey.xadd(stream_key(silent), {"k": STARTED, "d": "{}"}, id="1-1")

    assert await spoken(valkey, {told: 1, silent: 1}) == {told}
