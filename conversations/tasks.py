"""Chores of the calendar, which run on the queue `housekeeping`."""

from __future__ import annotations

from celery import shared_task
from django.core.management import call_command

from conversations.housekeeping import idle, retention
from conversations.housekeeping.repair import repair as repair_missed

QUEUE = "housekeeping"


@shared_task(name="conversations.age", queue=QUEUE)
def age() -> None:
    idle.update_states()


@shared_task(name="conversations.housekeeping.repair", queue=QUEUE)
def repair() -> None:
    repair_missed()


@shared_task(name="conversations.purge_dead_letters", queue=QUEUE)
def purge_dead_letters() -> None:
    retention.purge_dead_letters()


@shared_task(name="conversations.clear_sessions", queue=QUEUE)
def clear_sessions() -> None:
    call_command("clearsessions")
