"""Group commit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from stores.group_commit import Grouped


class Server:
    """Takes groups of numbers and doubles them; `gate` holds a flush under way."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def flush(self, items: Sequence[int]) -> list[int]:
        self.groups.append(list(items))
        await self.gate.wait()
        if any(item < 0 for item in items):
            raise ValueError("negative")
        return [item * 2 for item in items]


async def begun(tasks: Sequence[asyncio.Task[int]]) -> None:
    """Let the tasks run as far as they can."""
    for _ in range(3):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)


async def test_a_lone_call_never_waits_for_company() -> None:
    server = Server()
    double = Grouped(server.flush)

    assert await double(4) == 8
    assert await double(5) == 10
    assert server.groups == [[4], [5]]


async def test_what_arrives_during_a_flush_makes_the_next_group() -> None:
    server = Server()
    double = Grouped(server.flush)
    server.gate.clear()

    tasks = [asyncio.create_task(double(1))]
    await begun(tasks)
    tasks += [asyncio.create_task(double(n)) for n in (2, 3, 4)]
    await begun(tasks)
    server.gate.set()

    assert await asyncio.gather(*tasks) == [2, 4, 6, 8]
    assert server.groups == [[1], [2, 3, 4]]


async def test_no_group_is_longer_than_the_limit() -> None:
    server = Server()
    double = Grouped(server.flush, limit=2)

    results = await asyncio.gather(*(double(n) for n in range(5)))

    assert results == [0, 2, 4, 6, 8]
    assert server.groups == [[0, 1], [2, 3], [4]]


async def test_one_bad_item_does_not_fail_its_neighbours() -> None:
    server = Server()
    double = Grouped(server.flush, alone=(ValueError,))

    results = await asyncio.gather(*map(double, (1, -1, 2)), return_exceptions=True)

    assert (results[0], results[2]) == (2, 4)
    assert isinstance(results[1], ValueError)
    assert server.groups == [[1, -1, 2], [1], [-1], [2]]


async def test_an_error_that_is_nobodys_own_reaches_all() -> None:
    server = Server()
    double = Grouped(server.flush, alone=(KeyError,))

    results = await asyncio.gather(*map(double, (1, -1, 2)), return_exceptions=True)

    assert [type(result) for result in results] == [ValueError] * 3
    assert server.groups == [[1, -1, 2]]


async def test_a_failed_group_does_not_stop_the_next() -> None:
    server = Server()
    double = Grouped(server.flush)

    with pytest.raises(ValueError, match="negative"):
        await double(-1)

    assert await double(1) == 2


async def test_a_caller_that_gave_up_does_not_disturb_the_others() -> None:
    server = Server()
    double = Grouped(server.flush)
    server.gate.clear()
    impatient, patient = (asyncio.create_task(double(n)) for n in (1, 2))
    await begun([impatient, patient])

    impatient.cancel()
    await asyncio.wait([impatient])
    server.gate.set()

    assert await patient == 4
    assert impatient.cancelled()


async def test_put_travels_with_the_others_and_its_failure_is_logged() -> None:
    server = Server()
    double = Grouped(server.flush)

    double.put(7)
    assert await double(1) == 2
    assert server.groups == [[7, 1]]

    with capture_logs() as logs:
        double.put(-1)
        with pytest.raises(ValueError, match="negative"):
            await double(1)
    assert [entry["event"] for entry in logs] == ["group.failed"]


async def test_what_is_added_at_once_needs_no_await() -> None:
    server = Server()
    double = Grouped(server.flush)

    result = double.soon(4)

    assert await result == 8


async def test_begun_waits_only_for_what_waits_for_its_turn() -> None:
    server = Server()
    server.gate.clear()
    double = Grouped(server.flush)
    first = double.soon(1)
    await asyncio.sleep(0)
    await double.begun()
    assert server.groups == [[1]], "it is under way, and nothing waits"
    second = double.soon(2)

    waiting = asyncio.create_task(double.begun())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    server.gate.set()
    await waiting

    assert server.groups == [[1], [2]]
    assert (await first, await second) == (2, 4)


async def test_a_group_of_long_items_is_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stores.group_commit.MOST_CHARS", 10)
    server = Server()
    double = Grouped(server.flush, size=lambda item: item)
    server.gate.clear()
    tasks = [asyncio.create_task(double(1))]
    await begun(tasks)

    tasks += [asyncio.create_task(double(n)) for n in (4, 6, 1, 50, 3, 3)]
    await begun(tasks)
    server.gate.set()

    assert await asyncio.gather(*tasks) == [2, 8, 12, 2, 100, 6, 6]
    assert server.groups == [[1], [4, 6], [1], [50], [3, 3]]
