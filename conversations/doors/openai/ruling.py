"""Rules at this door: read beside the requests, matched against what the user said last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import psycopg
import structlog

from conversations.doors.lean.errors import ApiError
from conversations.priority import rulebook, rules
from conversations.priority.rules import Rulebook, Subject
from llmqueue_project.config import configuration
from stores.postgres import Database, read

log = structlog.get_logger(__name__)
NEVER = float("-inf")


class RuleReader:
    """The rulebook of a web process: no request waits for it while requests keep coming."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._book: Rulebook | None = None
        self._read_at = NEVER
        self._reading: asyncio.Task[None] | None = None

    async def book(self) -> Rulebook:
        """The rules, at most `rule_cache_seconds` old; from half of that on they are read anew.

        Raises:
            ApiError: they could not be read even once.
        """
        age, limit = time.monotonic() - self._read_at, configuration().web.rule_cache_seconds
        if age >= limit / 2 and self._reading is None:
            self._reading = asyncio.create_task(self._read())
        if age >= limit and self._reading is not None:
            # Shielded: others wait for the same reading.
            await asyncio.shield(self._reading)
        if self._book is None:
            raise ApiError(503, "unavailable", "try again", retry_after_seconds=2.0)
        return self._book

    def forget(self) -> None:
        """A rule has changed; a reading under way may have looked before."""
        self._read_at, self._reading = NEVER, None

    async def _read(self) -> None:
        began, this = time.monotonic(), asyncio.current_task()
        try:
            self._book = rulebook.of_rows(await read(self._database.relaxed, rulebook.RULES))
            if self._reading is this:
                self._read_at = began
        except psycopg.OperationalError as error:
            log.info("rules.wait", error=str(error))
        finally:
            if self._reading is this:
                self._reading = None


def about(fields: Mapping[str, Any]) -> Subject:
    """What rules look at in an OpenAI request."""
    metadata = fields.get("metadata")
    written = fields["prompt"] if "prompt" in fields else fields.get("input")
    text = _last_said(fields) if "messages" in fields else _text(written)
    return rules.subject(text, metadata if isinstance(metadata, dict) else None)


def _last_said(fields: Mapping[str, Any]) -> str:
    """The text of the last message of role `user`; what came before has been answered."""
    for message in reversed(fields["messages"]):
        if message["role"] == "user":
            return _text(message.get("content"))
    return ""


def _text(value: Any) -> str:
    """Text, or the text parts of a list; images, audio and token ids have none."""
    if isinstance(value, str):
        return value
    return "\n".join(_part(part) for part in value) if isinstance(value, list) else ""


def _part(part: Any) -> str:
    text = part.get("text") if isinstance(part, dict) else part
    return text if isinstance(text, str) else ""
