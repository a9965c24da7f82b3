"""Does PostgreSQL answer? Asked where no connection came free in time: is it away, or are we busy?

A pool tells both by the same error.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

import psycopg

from llmqueue_project.config import configuration
from stores.memory import Aged

FRESH_SECONDS = 1.0
PATIENCE_SECONDS = 4  # a busy machine takes its time
# It is there, and all its connections are in use. Such an error has no SQLSTATE during a connect.
_FULL = ("too many clients", "connection slots")


def _answers() -> bool:
    url = configuration().database_url.get_secret_value()
    try:
        psycopg.connect(url, connect_timeout=PATIENCE_SECONDS).close()
    except psycopg.OperationalError as error:
        return any(words in str(error) for words in _FULL)
    return True


class Reachability:
    """Whether the database takes connections; it is asked at most once a second.

    Args:
        ask: opens a connection of its own.
    """

    def __init__(self, ask: Callable[[], bool] = _answers) -> None:
        self._ask = ask
        self._known: Aged[bool] = Aged(FRESH_SECONDS)
        self._asking = Lock()

    def database_answers(self) -> bool:
        """Blocks for up to `PATIENCE_SECONDS`."""
        with self._asking:
            return self._known.current(self._ask)
