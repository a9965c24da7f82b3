"""An endpoint as the code that calls it knows it: where it is, what it serves, what it costs."""

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
    """An endpoint as a worker needs it. `base_url` has no trailing slash.

    `host` is the Host header where it is not the URL's: a member of a group is called at its
    address by the group's name.
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

    @property
    def takes_work(self) -> bool:
        return self.state == State.ENABLED

    @property
    def server_hostname(self) -> str | None:
        """The name to send and to check in TLS; None where it is the URL's."""
        return urlsplit(f"//{self.host}").hostname if self.host else None

    @property
    def connection_options(self) -> dict[str, Any]:
        """aiohttp's arguments for whatever is asked of it; a redirect is never followed."""
        return {
            "server_hostname": self.server_hostname,
            "allow_redirects": False,
            "ssl": self.access.tls,
            "proxy": self.access.proxy_url or None,
        }

    @property
    def host_header(self) -> dict[str, str]:
        """The header that a member needs to be called by its group's name."""
        return {"Host": self.host} if self.host else {}

    @property
    def is_rate_limited(self) -> bool:
        return self.requests_per_minute is not None or self.tokens_per_minute is not None

    def serves(self, model: str, api: str) -> bool:
        return model in self.model_names and api in self.apis

    def upstream_model(self, name: str) -> str:
        """What the endpoint itself calls a model."""
        return self.model_aliases.get(name, name)

    def price(self, model: str) -> Price | None:
        """What a model costs there; None when nobody has said."""
        return self.prices.get(model) or self.prices.get(ANY_MODEL)
