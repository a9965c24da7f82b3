"""What endpoints have refused: known to every worker, shown to operators, forgotten after a day.

Valkey has one hash for all. A worker reads it every few seconds and keeps a copy, so that a call
asks nobody. Without Valkey each worker knows what it has learned itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson
import redis
import structlog
from redis.asyncio import Redis

from balancing.errors import UNKNOWN_SHAPE

log = structlog.get_logger(__name__)
KEY = "llmq:fitted"
DAY = 86_400.0
LONGEST_TEXT = 300


@dataclass(frozen=True, slots=True)
class Lesson:
    """A field that an endpoint refuses for a model.

    Attributes:
        since: the Unix time when a call without it succeeded.
        text: the endpoint's refusal.
    """

    endpoint_id: int
    model: str
    field: str
    since: float
    text: str

    @property
    def name(self) -> str:
        return f"{self.endpoint_id}:{self.field}:{self.model}"

    @property
    def value(self) -> str:
        return orjson.dumps({"since": self.since, "text": self.text}).decode()

    @classmethod
    def read(cls, name: bytes | str, value: bytes | str) -> Lesson | None:
        """A field of the hash and its value; None where another version has stored another."""
        try:
            text = name if isinstance(name, str) else name.decode()
            endpoint, field, model = text.split(":", 2)
            stored = orjson.loads(value)
            return cls(int(endpoint), model, field, float(stored["since"]), str(stored["text"]))
        except UNKNOWN_SHAPE:
            return None


# Fields by model, of one endpoint.
Refused = Mapping[str, frozenset[str]]


class Lessons:
    """What a worker knows.

    Args:
        valkey: None for a process that keeps it to itself.
        clock: Unix time.
    """

    def __init__(self, valkey: Redis | None, *, clock: Callable[[], float] = time.time) -> None:
        self._valkey = valkey
        self._clock = clock
        self._known: dict[str, Lesson] = {}
        self._unsaved: dict[str, Lesson] = {}
        self._refused: dict[int, Refused] = {}
        self._saving: set[asyncio.Task[None]] = set()
        # Two savers at once would write twice, and so undo what an operator has forgotten.
        self._one_saver = asyncio.Lock()

    def of(self, endpoint_id: int) -> Refused | None:
        """What an endpoint refuses; None for most."""
        return self._refused.get(endpoint_id)

    def learn(self, endpoint_id: int, model: str, field: str, text: str) -> None:
        """A call without the field has succeeded where one with it was refused."""
        lesson = Lesson(endpoint_id, model, field, self._clock(), text[:LONGEST_TEXT])
        self._unsaved[lesson.name] = lesson
        self._take({**self._known, lesson.name: lesson})
        log.info(
            "endpoint.refuses_field", endpoint=endpoint_id, model=model, field=field, text=text
        )
        self._saving.add(task := asyncio.create_task(self._save_quietly()))
        task.add_done_callback(self._saving.discard)

    async def refresh(self) -> None:
        """Read what all workers have learned, and forget what is old.

        Raises:
            redis.RedisError: Valkey is away; what was known stays.
        """
        self._take(self._known)
        if self._valkey is None:
            return
        await self._save()
        stored = await self._valkey.hgetall(KEY)
        found = _lessons(stored)
        if old := [lesson.name for lesson in found if not self._holds(lesson)]:
            await self._valkey.hdel(KEY, *old)
        self._take({lesson.name: lesson for lesson in found} | self._unsaved)

    async def _save(self) -> None:
        """Store what this worker has learned; the first worker that learned it gives the time."""
        async with self._one_saver:
            lessons = dict(self._unsaved)
            if self._valkey is None or not lessons:
                return
            async with self._valkey.pipeline(transaction=False) as pipe:
                for lesson in lessons.values():
                    pipe.hsetnx(KEY, lesson.name, lesson.value)
                pipe.expire(KEY, int(DAY))
                await pipe.execute()
            for name in lessons:
                self._unsaved.pop(name, None)

    async def _save_quietly(self) -> None:
        try:
            await self._save()
        except redis.RedisError as error:
            log.info("endpoint.lesson_waits", error=str(error))

    def _take(self, lessons: Mapping[str, Lesson]) -> None:
        self._known = {n: lesson for n, lesson in lessons.items() if self._holds(lesson)}
        refused: dict[int, dict[str, frozenset[str]]] = {}
        for lesson in self._known.values():
            models = refused.setdefault(lesson.endpoint_id, {})
            models[lesson.model] = models.get(lesson.model, frozenset()) | {lesson.field}
        self._refused = dict(refused)

    def _holds(self, lesson: Lesson) -> bool:
        return self._clock() - lesson.since < DAY


def _lessons(stored: Mapping[bytes | str, bytes | str]) -> list[Lesson]:
    read = (Lesson.read(name, value) for name, value in stored.items())
    return [lesson for lesson in read if lesson is not None]


def read_lessons(client: redis.Redis, *, now: float) -> list[Lesson]:
    """What all workers have learned, for pages; sorted by endpoint and field.

    Raises:
        redis.RedisError: Valkey is away.
    """
    found = _lessons(client.hgetall(KEY))
    return sorted((lesson for lesson in found if now - lesson.since < DAY), key=lambda x: x.name)


def forget(client: redis.Redis, endpoint_id: int) -> int:
    """Forget what an endpoint refuses; workers know it within seconds. Returns how many fields.

    Raises:
        redis.RedisError: Valkey is away.
    """
    found = _lessons(client.hgetall(KEY))
    names = [lesson.name for lesson in found if lesson.endpoint_id == endpoint_id]
    return client.hdel(KEY, *names) if names else 0
