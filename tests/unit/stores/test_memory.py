"""Memories are owned; without an owner nothing is remembered."""

from __future__ import annotations

import asyncio

from stores.memory import Aged, Memory, kept, remembered


class Counted:
    def __init__(self) -> None:
        self.seen = 0


def test_a_memory_has_one_object_of_a_class() -> None:
    memory = Memory()

    memory.of(Counted).seen += 1

    assert memory.of(Counted).seen == 1
    assert Memory().of(Counted).seen == 0


def test_what_nobody_keeps_is_not_remembered() -> None:
    remembered(Counted).seen += 1

    assert remembered(Counted).seen == 0


def test_what_somebody_keeps_is_remembered_within_the_context() -> None:
    memory = Memory()

    with kept(memory):
        remembered(Counted).seen += 1
        assert remembered(Counted).seen == 1

    assert remembered(Counted).seen == 0
    assert memory.of(Counted).seen == 1


async def test_a_memory_reaches_tasks_and_threads_of_its_context() -> None:
    def count() -> None:
        remembered(Counted).seen += 1

    memory = Memory()
    with kept(memory):
        await asyncio.to_thread(count)
        await asyncio.create_task(asyncio.to_thread(count))

    assert memory.of(Counted).seen == 2


def test_an_aged_value_is_read_again_when_it_is_old_or_expired() -> None:
    now = 100.0
    reads = 0

    def read() -> int:
        nonlocal reads
        reads += 1
        return reads

    value: Aged[int] = Aged(5.0, clock=lambda: now)

    assert [value.current(read), value.current(read)] == [1, 1]
    now = 105.0
    assert value.current(read) == 2
    value.expire()
    assert value.current(read) == 3
