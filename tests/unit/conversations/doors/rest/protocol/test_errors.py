"""Which refusal an exception amounts to."""

from __future__ import annotations

import psycopg
import pytest
from django.db import OperationalError
from psycopg_pool import PoolTimeout, TooManyRequests

from conversations.doors.rest.protocol.errors import render, translate
from conversations.doors.rest.protocol.refusals import Code, RestError
from scheduling.errors import IllegalTransition, QueueFull
from stores.memory import Memory, kept
from stores.reachability import Reachability


def test_refusals_name_their_place_in_a_batch() -> None:
    error = RestError(Code.INVALID_PRIORITY, "no", field="priority").within("messages[3]")

    assert (error.field, error.code) == ("messages[3].priority", Code.INVALID_PRIORITY)


def test_what_scheduling_refuses_has_its_code() -> None:
    full = translate(QueueFull(2.5))

    assert (full.code, full.http_status, full.retry_after_seconds) == (1007, 503, 2.5)
    assert translate(IllegalTransition("completed", "cancelled")).http_status == 409


def test_what_is_not_known_is_hidden() -> None:
    refusal = translate(ValueError("a secret"))

    assert refusal.http_status == 500
    assert "secret" not in refusal.reason


def wrapped(cause: Exception) -> Exception:
    """An error of psycopg as Django raises it."""
    error = OperationalError(str(cause))
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "answers", "code"),
    [
        (PoolTimeout("couldn't get a connection after 10.00 sec"), True, Code.OVERLOADED),
        (TooManyRequests("the pool has 8 waiting"), True, Code.OVERLOADED),
        (PoolTimeout("couldn't get a connection after 10.00 sec"), False, Code.DATABASE_DOWN),
        (psycopg.OperationalError("connection refused"), True, Code.DATABASE_DOWN),
        (psycopg.errors.AdminShutdown("terminated"), True, Code.DATABASE_DOWN),
        (psycopg.errors.TooManyConnections("too many clients"), True, Code.OVERLOADED),
        (psycopg.errors.DeadlockDetected("deadlock"), True, Code.OVERLOADED),
        (psycopg.errors.QueryCanceled("statement timeout"), True, Code.OVERLOADED),
        (psycopg.errors.LockNotAvailable("lock timeout"), True, Code.OVERLOADED),
    ],
)
def test_overload_is_no_outage(cause: Exception, answers: bool, code: Code) -> None:
    """At 120 messages a second 1,007 of 2,400 were refused as `database_down`."""
    memory = Memory()
    memory.of(Reachability)._ask = lambda: answers

    with kept(memory):
        refusal = translate(wrapped(cause))

    assert (refusal.code, refusal.http_status) == (code, 503)
    assert render(refusal).headers["Retry-After"] == "5"


@pytest.mark.parametrize("text", ["\ud800", "\x00", "a" * 10**6])
def test_what_a_client_sent_can_be_shown(text: str) -> None:
    shown = render(RestError(Code.MALFORMED_BODY, text, field=text)).data["details"]

    assert len(shown["reason"].encode()) <= 1000
    assert len(shown["field"].encode()) <= 1000
