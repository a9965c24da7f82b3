"""One look at an endpoint: does its server answer, and how many calls wait inside it?

A probe asks what costs nothing: `/health`, which vLLM, SGLang, TGI and llama.cpp have, else the
list of models. Whatever is not an error of the server (5xx) shows that there is one, so that no
credential is sent: a 401 or a 404 is for calls to find out about.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from balancing.models import Endpoint
from balancing.outbound import guarded_socket
from balancing.registry import Target
from llmqueue_project.config import load

LARGEST = 512 * 1024
MODELS = "/models"
ABSENT = (404, 405, 501)
# Servers gain a path when they are replaced by a newer version.
ASK_AGAIN_SECONDS = 600.0
_WAITING = re.compile(
    rb"^(?:vllm:num_requests_waiting|sglang:num_queue_reqs|llamacpp:requests_deferred)"
    rb"(?:\{[^}\n]*\})?[ \t]+([0-9.eE+]+)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a probe saw.

    Attributes:
        error: empty when the server answered.
        waiting: calls in its own queue; None when it does not tell.
    """

    error: str = ""
    waiting: int | None = None


class Prober:
    """Probes over kept-alive connections; remembers which paths a server has."""

    def __init__(self, *, timeout_seconds: float) -> None:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=timeout_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(
                limit=32,
                socket_factory=None if load().balancing.allow_link_local else guarded_socket,
            ),
        )
        self._absent: dict[tuple[str, str], float] = {}

    async def close(self) -> None:
        await self._session.close()

    async def look(self, target: Target, *, in_use: int) -> Seen:
        """Never raises: what goes wrong is what was seen."""
        speaks_openai = target.access.kind == Endpoint.Kind.OPENAI
        status = 404
        try:
            if speaks_openai:
                status = await self._status(target, "/health")
            if status in ABSENT:
                status = await self._status(target, MODELS)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Seen(error=str(error)[:200] or type(error).__name__)
        if status >= 500:
            return Seen(error=f"HTTP {status}")
        if not speaks_openai:
            return Seen()
        try:
            return Seen(waiting=await self._waiting(target, in_use))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return Seen()

    async def _waiting(self, target: Target, in_use: int) -> int | None:
        found = _WAITING.findall(await self._body(target, "/metrics"))
        if found:
            return int(sum(map(float, found)))
        body = await self._body(target, "/slots")
        slots = orjson.loads(body) if body else None
        # Of more calls of ours than it has slots, the rest waits in its queue.
        return max(0, in_use - len(slots)) if isinstance(slots, list) and slots else None

    async def _status(self, target: Target, path: str) -> int:
        if self._is_absent(target, path):
            return 404
        async with self._get(target, path) as reply:
            if reply.status in ABSENT and path != MODELS:
                self._absent[target.base_url, path] = time.monotonic()
            return int(reply.status)

    async def _body(self, target: Target, path: str) -> bytes:
        if self._is_absent(target, path):
            return b""
        async with self._get(target, path) as reply:
            if reply.status != 200:
                self._absent[target.base_url, path] = time.monotonic()
                return b""
            parts, size = [], 0
            while size < LARGEST and (part := await reply.content.readany()):
                parts.append(part)
                size += len(part)
            return b"".join(parts)

    def _get(self, target: Target, path: str) -> Any:
        access = target.access
        base = target.base_url if path == MODELS else target.base_url.removesuffix("/v1")
        return self._session.get(
            base + path,
            headers=target.naming,
            server_hostname=target.server_hostname,
            allow_redirects=False,
            ssl=access.tls,
            proxy=access.proxy_url or None,
        )

    def _is_absent(self, target: Target, path: str) -> bool:
        asked_at = self._absent.get((target.base_url, path), float("-inf"))
        return time.monotonic() - asked_at < ASK_AGAIN_SECONDS
