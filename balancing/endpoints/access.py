"""How an endpoint is reached and spoken to, beside its address and its models."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from functools import lru_cache

from balancing.endpoints import credentials


@dataclass(frozen=True, slots=True)
class Access:
    """One endpoint's side of a call. Timeouts in seconds; None is the setting's."""

    kind: str = "openai"
    api_version: str = ""
    encrypted_credential: str = field(default="", repr=False)
    extra_headers: tuple[tuple[str, str], ...] = ()
    ca_bundle: str = field(default="", repr=False)
    verify_tls: bool = True
    proxy_url: str = ""
    connect_timeout: float | None = None
    first_token_timeout: float | None = None
    stall_timeout: float | None = None
    total_timeout: float | None = None

    def credential(self, variable: str) -> str:
        """What to present, empty when nothing; `variable` is the environment's name for it.

        Raises:
            balancing.endpoints.credentials.Unreadable: it is stored, and no configured key fits.
        """
        return credentials.resolve(self.encrypted_credential, variable)

    @property
    def tls(self) -> ssl.SSLContext | bool:
        """What aiohttp's `ssl` argument takes."""
        if self.ca_bundle:
            return _trusting(self.ca_bundle)
        return self.verify_tls


@lru_cache(maxsize=256)
def _trusting(bundle: str) -> ssl.SSLContext:
    """One context a bundle: connections are kept alive by context."""
    return ssl.create_default_context(cadata=bundle)
