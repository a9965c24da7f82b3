"""Which models does an endpoint list at `GET /v1/models`?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from balancing.calls.client import Client
from balancing.endpoints.target import Target
from balancing.errors import CallError
from balancing.kinds.call import Timeouts

MOST_MODELS = 1000


class ListingFailed(Exception):
    """The endpoint did not list its models; the known ones stay."""


class Lister(Protocol):
    async def names(self, target: Target) -> list[str]:
        """The endpoint's own names of its models.

        Raises:
            ListingFailed
        """


class HttpLister:
    """Asks the endpoint, with the same credential, host name and proxy as calls."""

    def __init__(self, *, timeout_seconds: float = 5.0) -> None:
        self._timeouts = Timeouts(*[timeout_seconds] * 4)

    async def names(self, target: Target) -> list[str]:
        client = Client()
        try:
            names = await client.models(target, self._timeouts)
        except CallError as error:
            raise ListingFailed(f"its list of models: {error}") from None
        finally:
            await client.close()
        return [name for name in names if _is_name(name)][:MOST_MODELS]


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()


def public_names(upstream: list[str], aliases: Mapping[str, str]) -> list[str]:
    """The names for clients: the endpoint's own, and the aliases of models that it serves."""
    served = set(upstream)
    return sorted(served | {public for public, own in aliases.items() if own in served})
