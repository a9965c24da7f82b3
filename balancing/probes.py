"""One look at an endpoint: does its server answer, and how many calls wait inside it?

A probe asks what costs nothing: `/health`, which vLLM, SGLang, TGI and llama.cpp have, else the
list of models. Whatever is not an error of the server (5xx) shows that there is one: a 401 or a
404 is for calls to find out about.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass

import aiohttp
import orjson

from balancing.models import CREDENTIAL_VARIABLE
from balancing.registry import Target

LARGEST = 512 * 1024
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
            connector=aiohttp.TCPConnector(limit=32),
        )
        self._absent: dict[tuple[str, str], float] = {}

    async def close(self) -> None:
        await self._session.close()

    async def look(self, target: Target, *, in_use: int) -> Seen:
        """Never raises: what goes wrong is what was seen."""
        root = target.base_url.removesuffix("/v1")
        try:
            status = await self._status(root, "/health")
            if status in (404, 405, 501):
                status = await self._status(target.base_url, "/models", _credential(target))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Seen(error=str(error)[:200] or type(error).__name__)
        if status >= 500:
            return Seen(error=f"HTTP {status}")
        try:
            return Seen(waiting=await self._waiting(root, in_use))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return Seen()

    async def _waiting(self, root: str, in_use: int) -> int | None:
        found = _WAITING.findall(await self._body(root, "/metrics"))
        if found:
            return int(sum(map(float, found)))
        body = await self._body(root, "/slots")
        slots = orjson.loads(body) if body else None
        # Of more calls of ours than it has slots, the rest waits in its queue.
        return max(0, in_use - len(slots)) if isinstance(slots, list) and slots else None

    async def _status(self, root: str, path: str, headers: dict[str, str] | None = None) -> int:
        if self._is_absent(root, path):
            return 404
        async with self._session.get(root + path, headers=headers, allow_redirects=False) as reply:
            if reply.status in (404, 405, 501) and path == "/health":
                self._absent[root, path] = time.monotonic()
            return reply.status

    async def _body(self, root: str, path: str) -> bytes:
        if self._is_absent(root, path):
            return b""
        async with self._session.get(root + path, allow_redirects=False) as reply:
            if reply.status != 200:
                self._absent[root, path] = time.monotonic()
                return b""
            parts, size = [], 0
            while size < LARGEST and (part := await reply.content.readany()):
                parts.append(part)
                size += len(part)
            return b"".join(parts)

    def _is_absent(self, root: str, path: str) -> bool:
        return time.monotonic() - self._absent.get((root, path), -1e9) < ASK_AGAIN_SECONDS


def _credential(target: Target) -> dict[str, str] | None:
    if not re.match(CREDENTIAL_VARIABLE, target.api_key_variable):
        return None
    return {"Authorization": f"Bearer {os.environ.get(target.api_key_variable, '')}"}
