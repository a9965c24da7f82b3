"""When does a part answer? Each wait ends early, with the log to read, if the part died."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path

import psycopg
import redis
from celery import Celery

from llmqueue_project.embedded.errors import EmbeddedError, PartFailed
from llmqueue_project.embedded.supervision import Status, Supervisor

POLL_SECONDS, STATUS_SECONDS = 0.05, 0.3
EXTERNAL_SECONDS = 15.0


def until(
    check: Callable[[], bool],
    *,
    supervisor: Supervisor,
    name: str,
    log: Path,
    seconds: float = 60.0,
) -> None:
    """Wait for a supervised program to pass its check.

    Raises:
        PartFailed: it ended, or did not pass in time.
    """
    deadline, look_at = time.monotonic() + seconds, 0.0
    first: Status | None = None
    while not check():
        now = time.monotonic()
        if now >= look_at:
            status = supervisor.status()[name]
            first = first or status
            if not status.alive or status.started_at != first.started_at:
                raise PartFailed(f"{name} ended while it started ({status.description})", log)
            look_at = now + STATUS_SECONDS
        if now > deadline:
            raise PartFailed(f"{name} does not answer after {seconds:.0f} s", log)
        time.sleep(POLL_SECONDS)


def http_ok(url: str, timeout: float = 2.0) -> bool:
    """Whether a GET answers 2xx."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            return bool(200 <= response.status < 300)
    except (OSError, urllib.error.URLError):
        return False


def workers_answer(redis_url: str, names: Iterable[str]) -> bool:
    """Whether these Celery workers answer a ping."""
    application = Celery("readiness", broker=redis_url, set_as_current=False)
    wanted = {f"{name}@{socket.gethostname()}" for name in names}
    try:
        replies = application.control.ping(
            destination=sorted(wanted), timeout=1.0, limit=len(wanted)
        )
    except (OSError, redis.RedisError):
        return False
    finally:
        application.close()
    return wanted <= {name for reply in replies or () for name in reply}


def require_database(url: str) -> None:
    """Wait for the database that the user named.

    Raises:
        EmbeddedError: it cannot be reached or refuses us.
    """
    deadline = time.monotonic() + EXTERNAL_SECONDS
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.Error as error:
            if time.monotonic() > deadline or isinstance(error, psycopg.ProgrammingError):
                text = str(error).strip()
                raise EmbeddedError(f"DATABASE_URL cannot be used: {text}") from None
            time.sleep(0.5)
        else:
            return


def require_redis(url: str) -> None:
    """Wait for the Redis or Valkey that the user named.

    Raises:
        EmbeddedError: it cannot be reached or refuses us.
    """
    deadline = time.monotonic() + EXTERNAL_SECONDS
    while True:
        try:
            with redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5) as client:
                client.ping()
        except (redis.RedisError, ValueError) as error:
            if time.monotonic() > deadline or isinstance(error, ValueError):
                raise EmbeddedError(f"REDIS_URL cannot be used: {error}") from None
            time.sleep(0.5)
        else:
            return
