"""Which addresses does a name have now?

Names such as `_http._tcp.llm.svc` are looked up as SRV, all others as A and AAAA. The latter use
the system's resolver, so that hosts files and search domains count.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import Literal, Protocol

import dns.asyncresolver
import dns.exception
import dns.rdatatype

Family = Literal["prefer_ipv4", "ipv4", "ipv6", "all"]
_FAMILIES = {
    "ipv4": (socket.AF_INET,),
    "ipv6": (socket.AF_INET6,),
    "all": (socket.AF_INET, socket.AF_INET6),
}


@dataclass(frozen=True, slots=True, order=True)
class Address:
    ip: str
    port: int

    @property
    def netloc(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


# Each address becomes a row that every worker reads. A DNS answer by TCP may hold thousands.
MOST_ADDRESSES = 500


class ResolutionFailed(Exception):
    """The name could not be looked up, or has no address. That says nothing about its servers."""


class Resolver(Protocol):
    async def resolve(self, host: str, port: int) -> list[Address]:
        """The addresses of a name, sorted, each only once.

        Raises:
            ResolutionFailed
        """


class SystemResolver:
    """Looks up the addresses that this machine would connect to.

    Args:
        family: which addresses count if a name has both kinds. A server in both networks would
            otherwise be counted twice.
        nameservers, port: for SRV; empty means those of the machine.
    """

    def __init__(
        self,
        *,
        family: Family = "prefer_ipv4",
        timeout_seconds: float = 5.0,
        nameservers: tuple[str, ...] = (),
        port: int = 53,
    ) -> None:
        self._family = family
        self._timeout_seconds = timeout_seconds
        self._nameservers = nameservers
        self._port = port

    async def resolve(self, host: str, port: int) -> list[Address]:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                by_service = host.startswith("_")
                found = await (self._services(host) if by_service else self._hosts(host, port))
        except TimeoutError:
            raise ResolutionFailed(f"{host}: no answer in {self._timeout_seconds:g} s") from None
        except (OSError, UnicodeError, dns.exception.DNSException) as error:
            reason = str(error) or type(error).__name__
            raise ResolutionFailed(f"{host}: {reason}") from None
        if len(found) > MOST_ADDRESSES:
            raise ResolutionFailed(f"{host}: {len(found)} addresses, more than {MOST_ADDRESSES}")
        return found

    async def _hosts(self, host: str, port: int) -> list[Address]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        by_family: dict[int, set[Address]] = {socket.AF_INET: set(), socket.AF_INET6: set()}
        for family, _, _, _, where in found:
            if family in by_family:
                by_family[family].add(Address(str(where[0]).partition("%")[0], port))
        addresses = self._chosen(by_family)
        if not addresses:
            raise ResolutionFailed(f"{host}: no {self._family} address")
        return sorted(addresses)

    def _chosen(self, by_family: dict[int, set[Address]]) -> set[Address]:
        if self._family == "prefer_ipv4":
            return by_family[socket.AF_INET] or by_family[socket.AF_INET6]
        return set().union(*(by_family[family] for family in _FAMILIES[self._family]))

    async def _services(self, host: str) -> list[Address]:
        """Target and port of each SRV record; priority and weight are not used."""
        resolver = dns.asyncresolver.Resolver(configure=not self._nameservers)
        if self._nameservers:
            resolver.nameservers = list(self._nameservers)
            resolver.port = self._port
        answer = await resolver.resolve(
            host, dns.rdatatype.SRV, lifetime=self._timeout_seconds, search=True
        )
        records = {(str(record.target).rstrip("."), int(record.port)) for record in answer}
        if len(records) > MOST_ADDRESSES:
            raise ResolutionFailed(f"{host}: more than {MOST_ADDRESSES} records")
        found = await asyncio.gather(*(self._hosts(name, port) for name, port in records))
        return sorted({address for addresses in found for address in addresses})
