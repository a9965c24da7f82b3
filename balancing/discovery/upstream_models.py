"""What an endpoint says it serves: its `GET /v1/models`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from balancing.calls.client import Client
from balancing.endpoints.target import Target
from balancing.errors import CallError
from balancing.kinds.call import Timeouts

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
    """Asks the endpoint itself, as the calls do: same kind, credential, name and proxy."""

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
    """What clients may name: the endpoint's own names, and the aliases of those it serves."""
    served = set(upstream)
    return sorted(served | {public for public, own in aliases.items() if own in served})
