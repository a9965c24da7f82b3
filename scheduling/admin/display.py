"""How jobs and their parts are shown: colours, links, ids, lengths of time, long texts."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html

from balancing.admin.listing import span
from llmqueue_project.config import configuration
from scheduling.models import Attempt, Status

SHOWN_CHARS = 20_000

STATUS_COLOURS = {
    Status.HELD: "default",
    Status.QUEUED: "info",
    Status.PROCESSING: "primary",
    Status.COMPLETED: "success",
    Status.FAILED: "danger",
    Status.TIMEOUT: "danger",
    Status.CANCELLED: "warning",
}
LEVEL_COLOURS = {"realtime": "danger", "high": "warning", "normal": "info"}
OUTCOME_COLOURS = {
    Attempt.Outcome.OK: "success",
    Attempt.Outcome.ERROR: "danger",
    Attempt.Outcome.TIMEOUT: "danger",
    Attempt.Outcome.LOST: "danger",
    Attempt.Outcome.CANCELLED: "warning",
}


def link(name: str, key: Any, text: object) -> str:
    """A link to an admin page, or its text where there is no such page."""
    try:
        return format_html('<a href="{}">{}</a>', reverse(f"admin:{name}", args=[key]), text)
    except NoReverseMatch:
        return str(text)


def parsed_id(text: str) -> UUID | None:
    """The UUID in a pasted text: plain, or behind a door's prefix (`msg_`, `chatcmpl-`)."""
    for plain in (text, text.rpartition("_")[2], text.partition("-")[2]):
        try:
            return UUID(plain.strip())
        except ValueError:
            continue
    return None


def between(start: datetime | None, end: datetime | None) -> str:
    """How long from one moment to the other."""
    return span((end - start).total_seconds()) if start and end else "-"


def preformatted(row: Any, column: str) -> str:
    """A column of a related row, cut to what a page can show."""
    if row is None:
        return "-"
    text = str(getattr(row, column))
    shown = text[:SHOWN_CHARS] + ("…" if len(text) > SHOWN_CHARS else "")
    return format_html('<pre style="white-space: pre-wrap; max-width: 60rem">{}</pre>', shown)


def spent(micros: int | None, *, estimated: bool = False) -> str:
    """An amount of money, as exact as it is stored."""
    if micros is None:
        return "-"
    return f"{micros / 1e6:.6f} {configuration().currency}" + (" (estimated)" if estimated else "")
