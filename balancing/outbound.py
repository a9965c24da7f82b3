"""Which addresses may be called because an operator entered them?

They are checked when a URL is stored, and again when a connection is made, because a name may have
another address by then. Link-local addresses are refused: clouds serve the credentials of machines
there (169.254.169.254), and no endpoint needs them. Private networks are allowed: GPUs are there.
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

# The first question after this many seconds, then one every 10; after 6 without answer it is over.
_KEEPALIVE = {
    name: value
    for name, value in (
        ("TCP_KEEPIDLE", 30),
        ("TCP_KEEPALIVE", 30),  # macOS's name of the former
        ("TCP_KEEPINTVL", 10),
        ("TCP_KEEPCNT", 6),
    )
    if hasattr(socket, name)
}
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
# The well-known prefix and the one for local use (RFC 8215). Others cannot be known here.
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
# Dots of other scripts (UTS #46). Resolvers treat them as dots.
_DOTS = str.maketrans(dict.fromkeys("\u3002\uff0e\uff61", "."))


class Forbidden(OSError):
    """A connection to an address that may not be called."""


def parse(url: str) -> SplitResult:
    """A plain http or https URL with a host that may be called.

    Raises:
        ValueError: it is not one. The message is for the operator.
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
    """Why a host may not be called; empty if its name is no reason."""
    # The form that resolvers use. Behind a proxy the name is all that can be checked here.
    plain = unicodedata.normalize("NFKC", host.translate(_DOTS)).rstrip(".").lower()
    if plain in _NAMES:
        return f"{host} is a cloud's metadata service"
    address = literal(plain)
    return refusal_of_address(address) if address else ""


def refusal_of_address(address: Address) -> str:
    """Why an address may not be called; empty if it may."""
    inner = _inner(address)
    if inner.is_link_local or any(inner in network for network in _METADATA):
        return f"{address} is a link-local address or a cloud's metadata service"
    if inner.is_unspecified or inner.is_multicast:
        return f"{address} is not the address of a server"
    return ""


def literal(host: str) -> Address | None:
    """The address that a host's name is, in any notation of the system's resolver: 0xa9fea9fe."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None


def _inner(address: Address) -> Address:
    """The IPv4 address within an IPv6 address that only wraps one; else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    # Above 2^16 are the old IPv4-compatible addresses (::169.254.169.254), below it :: and ::1.
    if any(address in prefix for prefix in _NAT64) or 0xFFFF < int(address) <= 0xFFFFFFFF:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def connector(**options: Any) -> aiohttp.TCPConnector:
    """aiohttp's connector; it refuses forbidden addresses unless the settings allow them."""
    allowed = configuration().balancing.allow_link_local
    return aiohttp.TCPConnector(
        socket_factory=open_socket if allowed else guarded_socket, **options
    )


def guarded_socket(info: tuple[Any, ...]) -> socket.socket:
    """aiohttp's socket factory. It checks each address after its name has been resolved.

    Raises:
        Forbidden: the address may not be called.
    """
    where = info[4]
    if refusal := refusal_of_address(ipaddress.ip_address(where[0].partition("%")[0])):
        raise Forbidden(errno.EACCES, f"refused to connect: {refusal}")
    return open_socket(info)


def open_socket(info: tuple[Any, ...]) -> socket.socket:
    """aiohttp's socket factory. The kernel asks during silence whether the other end is there.

    A call may be silent for many minutes. So a host that vanished is noticed, and routers that
    forget silent connections remember this one.
    """
    made = socket.socket(*info[:3])
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
