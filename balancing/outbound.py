"""Which addresses may this project call on an operator's word? Checked when a URL is stored, and
again when a connection is made: a name may point elsewhere by then.

Link-local addresses are where clouds keep the credentials of the machine (169.254.169.254); no
endpoint needs them. Private networks are allowed: that is where GPUs are.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import unicodedata
from typing import Any
from urllib.parse import SplitResult, urlsplit

import aiohttp

from llmqueue_project.config import configuration

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Metadata services outside the link-local ranges, and names that lead to them.
_METADATA = tuple(
    ipaddress.ip_network(network)
    for network in (
        "fd00:ec2::/32",  # AWS, by IPv6
        "100.100.100.200/32",  # Alibaba
        "192.0.0.192/32",  # Oracle
        "168.63.129.16/32",  # Azure's wire server
        "fd20:ce::254/128",  # Google, by IPv6
    )
)
_NAMES = frozenset({"metadata", "metadata.google.internal", "instance-data"})
# Well-known, and for local use (RFC 8215); a network's own prefix cannot be known here.
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
# What separates the labels of a name in other scripts (UTS #46): resolvers read them as dots.
_DOTS = str.maketrans(dict.fromkeys("\u3002\uff0e\uff61", "."))


class Forbidden(OSError):
    """A connection to an address that no endpoint may have."""


def parse(url: str) -> SplitResult:
    """A plain http or https URL with a host that may be called.

    Raises:
        ValueError: it is not; the message is for the operator.
    """
    try:
        parts = urlsplit(url)
        usable = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError("Enter a valid URL, for example http://gpu-1:8000/v1") from None
    plain = url.isprintable() and " " not in url and "\\" not in url
    if not usable or not plain or parts.query or parts.fragment:
        raise ValueError("Enter a plain URL, for example http://gpu-1:8000/v1")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("Enter an http or https URL, for example http://gpu-1:8000/v1")
    if not all(0 < len(label) < 64 for label in parts.hostname.removesuffix(".").split(".")):
        raise ValueError("The parts of a host's name have 1 to 63 characters")
    if "%" in parts.hostname and "[" not in parts.netloc:
        raise ValueError("Enter a plain URL, for example http://gpu-1:8000/v1")
    if parts.username is not None or parts.password is not None:
        raise ValueError("Credentials do not belong in the URL: name a variable instead")
    return parts


def refusal_of_host(host: str) -> str:
    """Why a host may not be called, empty when it may as far as its name tells."""
    # As a resolver reads it, or a proxy, behind which no address is seen here.
    plain = unicodedata.normalize("NFKC", host.translate(_DOTS)).rstrip(".").lower()
    if plain in _NAMES:
        return f"{host} is a cloud's metadata service"
    address = literal(plain)
    return refusal_of_address(address) if address else ""


def refusal_of_address(address: Address) -> str:
    """Why an address may not be called, empty when it may."""
    inner = _inner(address)
    if inner.is_link_local or any(inner in network for network in _METADATA):
        return f"{address} is a link-local address or a cloud's metadata service"
    if inner.is_unspecified or inner.is_multicast:
        return f"{address} is not the address of a server"
    return ""


def literal(host: str) -> Address | None:
    """The address that a host is, in any notation the system's resolver takes: 0xa9fea9fe too."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None


def _inner(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one that only wraps it."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    # Below 2^16 are :: and ::1, above it the IPv4-compatible addresses of old (::169.254.169.254).
    if any(address in prefix for prefix in _NAT64) or 0xFFFF < int(address) <= 0xFFFFFFFF:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def connector(**options: Any) -> aiohttp.TCPConnector:
    """aiohttp's connections, none of them to a forbidden address unless the settings allow it."""
    allowed = configuration().balancing.allow_link_local
    return aiohttp.TCPConnector(socket_factory=None if allowed else guarded_socket, **options)


def guarded_socket(info: tuple[Any, ...]) -> socket.socket:
    """aiohttp's socket factory: the last look at an address, after every name was resolved.

    Raises:
        Forbidden: nothing connects to it.
    """
    family, kind, protocol, _, where = info
    if refusal := refusal_of_address(ipaddress.ip_address(where[0].partition("%")[0])):
        raise Forbidden(errno.EACCES, f"refused to connect: {refusal}")
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    return made
