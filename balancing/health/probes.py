"""Does an endpoint's server answer, and how many calls wait in its own queue?

A probe asks for something cheap: `/health`, which vLLM, SGLang, TGI and llama.cpp have, else the
list of models. Any answer but a server error (5xx) shows that the server runs. A 401 or a 404 is
an error of calls, not of the server's health.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from balancing.endpoints.credentials import Unreadable
from balancing.endpoints.target import Target
from balancing.kinds import KINDS
from balancing.outbound import connector

LARGEST = 512 * 1024
MOST_WAITING = 1_000_000
# A newer version of the server may have a path that this one lacks.
ASK_AGAIN_SECONDS = 600.0
_WAITING = re.compile(
    rb"^(?:vllm:num_requests_waiting|sglang:num_queue_reqs|llamacpp:requests_deferred)"
    rb"(?:\{[^}\n]*\})?[ \t]+([0-9.eE+]+)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What a probe found.

    Attributes:
        error: empty if the server answered.
        waiting: calls in the server's own queue; None if the server does not say.
    """

    error: str = ""
    waiting: int | None = None


class Prober:
    """Probes over kept-alive connections; remembers which paths a server lacks."""

    def __init__(self, *, timeout_seconds: float) -> None:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=timeout_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=connector(limit=32),
        )
        self._absent: dict[tuple[str, str], float] = {}

    async def close(self) -> None:
        await self._session.close()

    async def probe(self, target: Target, *, in_use: int) -> ProbeResult:
        """Probe once. Errors are part of the result and never raised."""
        root = target.base_url.removesuffix("/v1")
        try:
            status = await self._health(target, root)
            if status in (404, 405, 501):
                status = await self._list_models(target)
        except Unreadable as error:
            return ProbeResult(error=f"the stored credential is unreadable: {error}")
        except (aiohttp.ClientError, OSError, TimeoutError, UnicodeError) as error:
            return ProbeResult(error=str(error)[:200] or type(error).__name__)
        if status >= 500:
            return ProbeResult(error=f"HTTP {status}")
        try:
            return ProbeResult(waiting=await self._waiting(target, root, in_use))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return ProbeResult()

    async def _waiting(self, target: Target, root: str, in_use: int) -> int | None:
        found = _WAITING.findall(await self._body(target, root, "/metrics"))
        if found:
            # Bounded, because a server may answer 1e999.
            return int(min(sum(map(float, found)), MOST_WAITING))
        body = await self._body(target, root, "/slots")
        slots = orjson.loads(body) if body else None
        # Calls of ours beyond its slots wait in its queue.
        return max(0, in_use - len(slots)) if isinstance(slots, list) and slots else None

    async def _health(self, target: Target, root: str) -> int:
        if self._is_absent(root, "/health"):
            return 404
        async with self._get(target, f"{root}/health") as reply:
            if reply.status in (404, 405, 501):
                self._absent[root, "/health"] = time.monotonic()
            return int(reply.status)

    async def _list_models(self, target: Target) -> int:
        credential = target.access.credential(target.api_key_variable)
        asking = KINDS[target.access.kind].listing(target, credential)
        async with self._get(target, asking.url, asking.headers) as reply:
            return int(reply.status)

    def _get(self, target: Target, url: str, headers: dict[str, str] | None = None) -> Any:
        """A GET on the same way as calls: host name, proxy and trusted certificates."""
        return self._session.get(
            url,
            headers={**(headers or {}), **target.host_header},
            **target.connection_options,
        )

    async def _body(self, target: Target, root: str, path: str) -> bytes:
        if self._is_absent(root, path):
            return b""
        async with self._get(target, root + path) as reply:
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
