"""The call to an OpenAI-compatible endpoint: timeouts, errors, stream, cancellation.

Cancelling the awaiting task closes the connection, which is how endpoints learn to stop
generating. Redirects are refused: a credential never follows one.
"""

from __future__ import annotations

import os
import re
import time
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson

from balancing.answer import (
    KINDS,
    Answer,
    Call,
    Guard,
    OnChunk,
    message_of,
    read_at_most,
    read_stream,
    read_whole,
)
from balancing.errors import Broken, CallError, Refused, TimedOut, Unavailable
from balancing.models import CREDENTIAL_VARIABLE
from balancing.registry import Target

LARGEST_REFUSAL = 64 * 1024
# These speak of the endpoint (its credential, its models), not of the client's request.
_ENDPOINT_FAULTS = frozenset({401, 403, 404, 407, 408, 425, 429})


class Client:
    """All calls of one worker process, over kept-alive connections."""

    def __init__(self) -> None:
        connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=10, keepalive_timeout=30)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=256 * 1024,
        )

    async def close(self) -> None:
        await self._session.close()

    async def call(self, target: Target, call: Call, on_chunk: OnChunk) -> Answer:
        """Run one request to its end; chunks are handed over as they come.

        Raises:
            Refused: the endpoint says the request is at fault.
            Unavailable, TimedOut, Broken: worth another attempt.
        """
        guard = Guard(call.timeouts)
        try:
            async with guard.timeout:
                return await self._call(target, call, on_chunk, guard)
        except aiohttp.ServerTimeoutError:
            raise TimedOut("connect_timeout", "the endpoint did not accept in time") from None
        except TimeoutError:
            raise guard.error() from None
        except (aiohttp.ClientError, OSError) as error:
            if guard.phase == "connect":
                raise Unavailable("connect_failed", _describe(error)) from None
            raise Broken("broken", f"the endpoint's answer broke off: {_describe(error)}") from None

    async def _call(self, target: Target, call: Call, on_chunk: OnChunk, guard: Guard) -> Answer:
        async with self._post(target, call) as response:
            if response.status != 200:
                raise await _refusal(response)
            guard.accepted()
            streamed = response.content_type == "text/event-stream"
            if call.stream and streamed:
                return await read_stream(response, call, on_chunk, guard)
            return await read_whole(response, call, on_chunk, guard)

    def _post(self, target: Target, call: Call) -> Any:
        return self._session.post(
            target.base_url + KINDS[call.kind].path,
            data=body_for(target, call),
            headers={"Content-Type": "application/json", **headers_of(target)},
            server_hostname=target.server_hostname,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=call.timeouts.connect),
        )


def headers_of(target: Target) -> dict[str, str]:
    """What every request to an endpoint carries: its credential and, for a member, its name."""
    headers = {"Host": target.host} if target.host else {}
    if re.match(CREDENTIAL_VARIABLE, target.api_key_variable):
        headers["Authorization"] = f"Bearer {os.environ.get(target.api_key_variable, '')}"
    return headers


def body_for(target: Target, call: Call) -> bytes:
    """The request as it is, but for a model that the endpoint knows by another name."""
    if not target.model_aliases:
        return call.body.encode()
    fields = orjson.loads(call.body)
    if isinstance(fields.get("model"), str):
        fields["model"] = target.upstream_model(fields["model"])
    return orjson.dumps(fields)


async def _refusal(response: aiohttp.ClientResponse) -> CallError:
    status = response.status
    data = (await read_at_most(response, LARGEST_REFUSAL)).decode("utf-8", "replace")
    try:
        parsed = orjson.loads(data)
        # On one line: it may be sent on as a server-sent event.
        data = orjson.dumps(parsed).decode()
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        parsed, data = {}, ""
    message = message_of(parsed) or f"the endpoint answered {status}"
    if 400 <= status < 500 and status not in _ENDPOINT_FAULTS:
        return Refused("refused", message, status=status, body=data)
    return Unavailable(
        f"http_{status}",
        message,
        status=status,
        retry_after_seconds=_retry_after(response.headers.get("Retry-After", "")),
    )


def _retry_after(value: str) -> float:
    if value.isascii() and value.isdigit():
        return min(float(value), 3600.0)
    try:
        at = datetime.strptime(value, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        return 0.0
    return max(0.0, min(at.timestamp() - time.time(), 3600.0))


def _describe(error: BaseException) -> str:
    return type(error).__name__ + (f": {error}" if str(error) else "")
