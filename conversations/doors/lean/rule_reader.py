"""Which priority rules are in force? A web process reads them beside its requests."""

from __future__ import annotations

import asyncio
import time

import psycopg
import structlog

from conversations.doors.lean.refusals import Refusal
from conversations.priority.rulebook import RULES, RulebookReader
from conversations.priority.rules import Rulebook
from llmqueue_project.config import configuration
from stores.postgres import Database, read

log = structlog.get_logger(__name__)
NEVER = float("-inf")


class RuleReader:
    """The rulebook of a web process. While requests keep coming, none of them waits for it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reader = RulebookReader()
        self._rulebook: Rulebook | None = None
        self._read_at = NEVER
        self._reading: asyncio.Task[None] | None = None

    @property
    def set_aside(self) -> int:
        """How many rules cannot be used."""
        return self._reader.set_aside

    async def rulebook(self) -> Rulebook:
        """The rules, at most `rule_cache_seconds` old. Past half of that they are read again.

        Raises:
            Refusal: they have never been read yet, and cannot be now.
        """
        age, limit = time.monotonic() - self._read_at, configuration().web.rule_cache_seconds
        if age >= limit / 2 and self._reading is None:
            self._reading = asyncio.create_task(self._read())
        if age >= limit and self._reading is not None:
            # Shielded: others wait for the same reading.
            await asyncio.shield(self._reading)
        if self._rulebook is None:
            raise Refusal(503, "unavailable", "try again", retry_after_seconds=2.0)
        return self._rulebook

    def forget(self) -> None:
        """Read the rules again: one has changed, and a reading under way may have missed it."""
        self._read_at, self._reading = NEVER, None

    async def _read(self) -> None:
        began, this = time.monotonic(), asyncio.current_task()
        try:
            self._rulebook = self._reader.read(await read(self._database.relaxed, RULES))
            if self._reading is this:
                self._read_at = began
        except psycopg.OperationalError as error:
            log.info("rules.wait", error=str(error))
        finally:
            if self._reading is this:
                self._reading = None
