"""What may a page load, and from which address does a request come?"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.http import HttpRequest
from django.http.response import HttpResponseBase, HttpResponsePermanentRedirect
from django.middleware.common import CommonMiddleware

from llmqueue_project.config import configuration

# Alpine, which unfold uses, evaluates attributes; Flower and Swagger have inline scripts. The
# policy's purpose: no page loads from another host, sends or posts to one, or is framed by one.
PAGES = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
PROGRAMS = ("/api/v1/", "/metrics")
UNKNOWN = "0.0.0.0"  # noqa: S104 - nothing listens there: it stands for no address
DATA = "default-src 'none'; frame-ancestors 'none'"


class HostOfPages(CommonMiddleware):
    """Checks the name by which the site is called, but for programs.

    A forged name turns links and redirects of pages. REST and `/metrics` have none, take a key or a
    token, and are called by addresses of pods and by names of services, underscores included.
    """

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        if request.path_info.startswith(PROGRAMS):
            return None
        return super().process_request(request)


class ContentSecurityPolicy:
    """Middleware that names the policy on every answer that has none."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        is_page = response.get("Content-Type", "").startswith("text/html")
        response.setdefault("Content-Security-Policy", PAGES if is_page else DATA)
        return response


def client_address(request: HttpRequest) -> str:
    """The address that the outermost trusted proxy saw; without proxies, the connection's.

    Entries of `X-Forwarded-For` that the client wrote itself stand further left. Where no address
    is known, as on a Unix socket, all clients have the same one.
    """
    proxies = configuration().web.trusted_proxies
    seen = request.headers.get("X-Forwarded-For", "").split(",") if proxies else []
    found = [seen[-proxies]] if len(seen) >= proxies > 0 else []
    for text in (*found, request.META.get("REMOTE_ADDR") or ""):
        try:
            return _counted(ip_address(text.strip()))
        except ValueError:
            continue
    return UNKNOWN


def _counted(address: IPv4Address | IPv6Address) -> str:
    """An IPv6 network (/64) as one address: its owner can try passwords from any of 2^64."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(ip_network((int(address), 64), strict=False).network_address)
    return str(address if isinstance(address, IPv4Address) else address.ipv4_mapped)
