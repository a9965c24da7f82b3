"""What does a worker know of an endpoint: its address, what it serves, what it costs?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from balancing.endpoints.access import Access
from balancing.models.choices import State
from balancing.prices import ANY_MODEL, Price


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint as a worker needs it.

    Attributes:
        base_url: without a trailing slash.
        host: the Host header if it differs from the URL's host. A member of a group is called at
            its own address, with the group's name.
        lacks_prices: whether the row has a price that cannot be read.
    """

    id: int
    name: str
    base_url: str
    model_names: frozenset[str]
    api_key_variable: str
    weight: float
    max_concurrent: int
    state: str
    apis: frozenset[str] = frozenset({"chat", "completion"})
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    access: Access = field(default_factory=Access)
    host: str = ""
    model_aliases: Mapping[str, str] = field(default_factory=dict)
    prices: Mapping[str, Price] = field(default_factory=dict)
    lacks_prices: bool = False

    @property
    def takes_work(self) -> bool:
        return self.state == State.ENABLED

    @property
    def server_hostname(self) -> str | None:
        """The name to send and to check in TLS; None for the URL's host."""
        return urlsplit(f"//{self.host}").hostname if self.host else None

    @property
    def connection_options(self) -> dict[str, Any]:
        """aiohttp's arguments for every request to it. Redirects are never followed."""
        return {
            "server_hostname": self.server_hostname,
            "allow_redirects": False,
            "ssl": self.access.tls,
            "proxy": self.access.proxy_url or None,
        }

    @property
    def host_header(self) -> dict[str, str]:
        """The Host header of a group's member; no header for others."""
        return {"Host": self.host} if self.host else {}

    @property
    def is_rate_limited(self) -> bool:
        return self.requests_per_minute is not None or self.tokens_per_minute is not None

    def serves(self, model: str, api: str) -> bool:
        return model in self.model_names and api in self.apis

    def upstream_model(self, name: str) -> str:
        """The endpoint's own name of a model."""
        return self.model_aliases.get(name, name)

    def price(self, model: str) -> Price | None:
        """The price of a model there; None if no operator has entered one."""
        return self.prices.get(model) or self.prices.get(ANY_MODEL)
