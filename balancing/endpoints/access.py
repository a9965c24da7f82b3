"""How is an endpoint spoken to: by which API, credential, headers, TLS, proxy and timeouts?"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from functools import lru_cache

from balancing.endpoints import credentials


@dataclass(frozen=True, slots=True)
class Access:
    """An endpoint's part of every call to it. Timeouts in seconds; None stands for the setting."""

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
        """The credential to send; empty without one.

        Args:
            variable: the environment variable to read if no credential is stored.

        Raises:
            balancing.endpoints.credentials.Unreadable: no configured key decrypts the stored one.
        """
        return credentials.resolve(self.encrypted_credential, variable)

    @property
    def tls(self) -> ssl.SSLContext | bool:
        """The value of aiohttp's `ssl` argument."""
        if self.ca_bundle:
            return _trusting(self.ca_bundle)
        return self.verify_tls


@lru_cache(maxsize=256)
def _trusting(bundle: str) -> ssl.SSLContext:
    """One context for each bundle, because aiohttp reuses a connection only with its context."""
    return ssl.create_default_context(cadata=bundle)
