"""How do operators reach Flower, which listens on loopback? By `/flower/`, behind their login.

Flower has no CSRF tokens, so a request that changes something must come from this site.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from urllib.parse import urlsplit

import aiohttp
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseForbidden, StreamingHttpResponse
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
# Flower has no need of sessions, tokens and keys; aiohttp sets host and length itself.
NOT_SENT = HOP_BY_HOP | {"cookie", "authorization", "x-api-key", "host", "content-length"}
NOT_RETURNED = HOP_BY_HOP | {"set-cookie", "server", "date", "x-request-id"}
TIMEOUT = aiohttp.ClientTimeout(total=60, connect=3)
CHUNK_BYTES = 64 * 1024


@csrf_exempt
async def proxy(request: HttpRequest, **_path: str) -> HttpResponseBase:
    """Flower's answer, for an operator who is logged in."""
    user = await request.auser()
    if not (user.is_active and user.is_staff):
        return redirect_to_login(request.get_full_path(), str(settings.LOGIN_URL))
    if not user.is_superuser:
        return HttpResponseForbidden("Flower steers every worker: it is for superusers.")
    if request.method not in SAFE_METHODS and not from_this_site(request):
        return HttpResponseForbidden("Flower takes changes from its own pages only.")
    async with AsyncExitStack() as exchange:
        try:
            answer = await exchange.enter_async_context(_asked(await _session(exchange), request))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            logger.warning("flower is not reachable: %s", error)
            return render(request, "scheduling/flower_down.html", status=502)
        return _returned(answer, exchange.pop_all())


def target(base: str, path: str) -> URL:
    """The address on Flower's own server, which has the same prefix, of a path here."""
    parts = urlsplit(base)
    return URL(f"{parts.scheme}://{parts.netloc}{path}", encoded=True)


def from_this_site(request: HttpRequest) -> bool:
    """Whether the browser says that a page of this site sent the request."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin", "")
    return origin == f"{request.scheme}://{request.get_host()}"


def passed_on(headers: Mapping[str, str], dropped: set[str]) -> dict[str, str]:
    """The headers without the dropped ones and without those that `Connection` names."""
    named = headers.get("Connection", "").lower().split(",")
    left_out = dropped | {name.strip() for name in named}
    return {name: value for name, value in headers.items() if name.lower() not in left_out}


async def _session(exchange: AsyncExitStack) -> aiohttp.ClientSession:
    """A session of this request alone: a new connection on loopback costs next to nothing."""
    return await exchange.enter_async_context(
        aiohttp.ClientSession(
            timeout=TIMEOUT, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )
    )


def _asked(
    session: aiohttp.ClientSession, request: HttpRequest
) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
    return session.request(
        request.method or "GET",
        target(configuration().flower_internal_url, request.get_full_path()),
        headers=passed_on(request.headers, NOT_SENT),
        data=request.body or None,
        allow_redirects=False,
    )


def _returned(answer: aiohttp.ClientResponse, exchange: AsyncExitStack) -> StreamingHttpResponse:
    response = StreamingHttpResponse(_chunks(answer, exchange), status=answer.status)
    for name, value in passed_on(answer.headers, NOT_RETURNED).items():
        response[name] = value
    return response


async def _chunks(answer: aiohttp.ClientResponse, exchange: AsyncExitStack) -> AsyncIterator[bytes]:
    async with exchange:
        async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
            yield chunk
