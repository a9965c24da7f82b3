"""What an endpoint says it serves: its `GET /v1/models`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import aiohttp
import orjson

from balancing.answer import read_at_most
from balancing.client import headers_of
from balancing.registry import Target

LARGEST_LIST = 4 * 1024 * 1024
MOST_MODELS = 1000


class ListingFailed(Exception):
    """The endpoint did not say what it serves: what was known stays."""


class Lister(Protocol):
    async def names(self, target: Target) -> list[str]:
        """The models by the endpoint's own names.

        Raises:
            ListingFailed
        """


class HttpLister:
    """Asks the endpoint itself, as the calls do: same credential, same name."""

    def __init__(self, *, timeout_seconds: float = 5.0) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    async def names(self, target: Target) -> list[str]:
        try:
            async with (
                aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
                session.get(
                    f"{target.base_url}/models",
                    headers=headers_of(target),
                    server_hostname=target.server_hostname,
                    allow_redirects=False,
                    timeout=self._timeout,
                ) as response,
            ):
                data = await read_at_most(response, LARGEST_LIST)
                if response.status != 200:
                    raise ListingFailed(f"GET /models answered {response.status}")
        except TimeoutError:
            raise ListingFailed("GET /models took too long") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ListingFailed(f"GET /models: {error or type(error).__name__}") from None
        return parsed(data)


def parsed(data: bytes) -> list[str]:
    """The ids of an OpenAI list of models.

    Raises:
        ListingFailed: it is not one.
    """
    try:
        entries = orjson.loads(data)["data"]
        names = [entry["id"] for entry in entries]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise ListingFailed("GET /models: not a list of models") from None
    return [n for n in names if _is_name(n)][:MOST_MODELS]


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()


def public_names(upstream: list[str], aliases: Mapping[str, str]) -> list[str]:
    """What clients may name: the endpoint's own names, and the aliases of those it serves."""
    served = set(upstream)
    return sorted(served | {public for public, own in aliases.items() if own in served})
