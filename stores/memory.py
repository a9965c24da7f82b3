"""What a process keeps between requests, and for how long it may use it.

Whoever lives long owns a `Memory`: a web process, a command that runs for a while. Code below it
asks for its own object with `remembered`. Where nobody keeps a memory, each call begins anew, so
a test or a short command never meets what an earlier one has read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Generic, TypeVar, cast

T = TypeVar("T")


class Memory:
    """One object of each class, made without arguments when it is first asked for."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._objects: dict[type, object] = {}

    def of(self, kind: type[T]) -> T:
        """The one object of a class."""
        with self._lock:
            found = self._objects.get(kind)
            if found is None:
                found = self._objects[kind] = kind()
        return cast(T, found)


class Aged(Generic[T]):
    """A value that may be used for some seconds after it was read.

    Args:
        seconds: how long.
        clock: seconds that only go forward.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._until = float("-inf")
        self._value: T | None = None

    def current(self, read: Callable[[], T]) -> T:
        """The value; `read` makes it anew where it is too old or was expired."""
        if self._value is None or self._clock() >= self._until:
            self.learn(read())
        return cast(T, self._value)

    def learn(self, value: T) -> None:
        """A value that was just read."""
        self._value = value
        self._until = self._clock() + self._seconds

    def expire(self) -> None:
        """Read again at the next call: what it was read from has changed."""
        self._until = float("-inf")


_kept: ContextVar[Memory | None] = ContextVar("memory", default=None)


def remembered(kind: type[T]) -> T:
    """The object of a class in the memory of whoever keeps one; a new object where nobody does."""
    memory = _kept.get()
    return kind() if memory is None else memory.of(kind)


@contextmanager
def kept(memory: Memory) -> Iterator[Memory]:
    """Use this memory within the context, and in tasks and threads that are given a copy of it.

    asyncio's tasks, `asyncio.to_thread` and `sync_to_async` copy it; a plain thread does not.
    """
    token = _kept.set(memory)
    try:
        yield memory
    finally:
        _kept.reset(token)
