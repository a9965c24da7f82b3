"""Which server does a command miss? A sentence with its address instead of a traceback."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import psycopg
from django.db import OperationalError
from redis.exceptions import ConnectionError as ValkeyConnectionError
from redis.exceptions import TimeoutError as ValkeyTimeoutError

from llmqueue_project.config import configuration

# What a command raises when a server is away; a pool's timeout is one of psycopg's errors.
SERVER_ERRORS = (
    OperationalError,
    psycopg.OperationalError,
    ValkeyConnectionError,
    ValkeyTimeoutError,
)
PATIENCE_SECONDS = 3
_HOST = r"(?:\[[^\]@/]*\]|[\w.%-]*)(?::\d*)?"
_HOSTS = re.compile(rf"{_HOST}(?:,{_HOST})*", re.ASCII)


def missing_server(error: Exception) -> str:
    """The sentence for one of `SERVER_ERRORS`; empty if the server can be reached after all."""
    config = configuration()
    if isinstance(error, ValkeyConnectionError | ValkeyTimeoutError):
        where = _address(config.redis_url.get_secret_value(), 6379)
        return f"Valkey at {where} (REDIS_URL) cannot be reached: {error}"
    url = config.database_url.get_secret_value()
    try:
        psycopg.connect(url, connect_timeout=PATIENCE_SECONDS).close()
    except psycopg.Error as reason:
        said = str(reason).strip().splitlines() or [type(reason).__name__]
        where = _address(url, 5432)
        return f"the database at {where} (DATABASE_URL) cannot be reached: {said[0]}"
    return ""


def _address(url: str, default_port: int) -> str:
    """Host, port and path of a URL, without its user, password and query.

    Where a password has a `/`, `?` or `#` that is not quoted, nobody can tell it from the rest.
    """
    parts = urlsplit(url)
    _, _, host = parts.netloc.rpartition("@")
    if not _HOSTS.fullmatch(host) or "@" in f"{parts.path}{parts.query}{parts.fragment}":
        return "an address that cannot be read"
    port = "" if ":" in host.rpartition("]")[2] or "," in host else f":{default_port}"
    return f"{host or 'localhost'}{port}{parts.path}"
