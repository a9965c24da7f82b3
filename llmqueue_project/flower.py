"""Flower behind the operators' login: it listens on loopback only, this proxies `/flower/`.

Flower has no CSRF tokens of its own, so unsafe requests must come from this very site.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import aiohttp
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from yarl import URL

from llmqueue_project.config import configuration

logger = logging.getLogger(__name__)

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
# Our session, tokens and keys are no business of Flower's; aiohttp sets host and length itself.
NOT_SENT = HOP_BY_HOP | {"cookie", "authorization", "x-api-key", "host", "content-length"}
NOT_RETURNED = HOP_BY_HOP | {"set-cookie", "server", "date", "x-request-id"}
TIMEOUT = aiohttp.ClientTimeout(total=60, connect=3)
CHUNK_BYTES = 64 * 1024

_sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession] = WeakKeyDictionary()


@csrf_exempt
async def proxy(request: HttpRequest, **_path: str) -> HttpResponseBase:
    """What Flower answers, for a logged-in operator."""
    user = await request.auser()
    if not (user.is_active and user.is_staff):
        return redirect_to_login(request.get_full_path(), str(settings.LOGIN_URL))
    if not user.is_superuser:
        return HttpResponseForbidden("Flower steers every worker: it is for superusers.")
    if request.method not in SAFE_METHODS and not from_this_site(request):
        return HttpResponseForbidden("Flower takes changes from its own pages only.")
    try:
        answer = await _session().request(
            request.method or "GET",
            target(configuration().flower_internal_url, request.get_full_path()),
            headers=passed_on(request.headers, NOT_SENT),
            data=request.body or None,
            allow_redirects=False,
        )
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        logger.warning("flower is not reachable: %s", error)
        return render(request, "scheduling/flower_down.html", status=502)
    return _returned(answer)


def target(base: str, path: str) -> URL:
    """Where a path of ours is on Flower's own server, which has the same prefix."""
    parts = urlsplit(base)
    return URL(f"{parts.scheme}://{parts.netloc}{path}", encoded=True)


def from_this_site(request: HttpRequest) -> bool:
    """Whether a browser says that one of our own pages sent the request."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin", "")
    return origin == f"{request.scheme}://{request.get_host()}"


def passed_on(headers: Mapping[str, str], dropped: set[str]) -> dict[str, str]:
    """Headers but for these, and but for what `Connection` declares to be of one hop only."""
    named = headers.get("Connection", "").lower().split(",")
    left_out = dropped | {name.strip() for name in named}
    return {name: value for name, value in headers.items() if name.lower() not in left_out}


def _session() -> aiohttp.ClientSession:
    loop = asyncio.get_running_loop()
    session = _sessions.get(loop)
    if session is None or session.closed:
        session = aiohttp.ClientSession(
            timeout=TIMEOUT, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        _sessions[loop] = session
    return session


def _returned(answer: aiohttp.ClientResponse) -> HttpResponse | StreamingHttpResponse:
    response = StreamingHttpResponse(_chunks(answer), status=answer.status)
    for name, value in passed_on(answer.headers, NOT_RETURNED).items():
        response[name] = value
    return response


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async with answer:
        async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
            yield chunk
