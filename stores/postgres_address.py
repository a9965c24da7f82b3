"""Where is PostgreSQL, and when is a connection to it dead? libpq's parameters of a URL.

A host that loses its power sends no reset: without these parameters the kernel waits for a quarter
of an hour, and for a silent peer that owes nothing for two hours.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

# Idle connections are probed after 5 s and given up 6 s later; sent bytes that nobody acknowledges,
# after 10 s (milliseconds). Names and units: libpq, "Parameter Key Words".
DEAD_AFTER: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "connect_timeout": 5,
}


class BadAddress(ValueError):
    """libpq does not take the URL. The text does not repeat it: it may hold a password."""


def parameters(url: str) -> dict[str, Any]:
    """What to connect with: the URL's own parameters, and ours where it names none.

    The URL may name several hosts, as a cluster has them:
    `postgresql://user@h1:5432,h2:5432/name?target_session_attrs=read-write`.

    Raises:
        BadAddress
    """
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise BadAddress("it is no address that libpq takes") from None
    if not set(str(given.get("port", ""))) <= set("0123456789,"):
        # libpq would repeat the beginning of a password that holds a slash.
        raise BadAddress("its port is no number: is a character of the password not quoted?")
    return {**DEAD_AFTER, "application_name": "llmqueue", **given}
