"""The call to an endpoint: timeouts, errors, stream, cancellation.

Cancelling the awaiting task closes the connection, which is how endpoints learn to stop
generating. Redirects are refused: a credential never follows one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson

from balancing.calls.answer import (
    LARGEST_ANSWER,
    UNKNOWN_SHAPE,
    Answer,
    Call,
    Guard,
    OnChunk,
    Timeouts,
    message_of,
    read_at_most,
    read_stream,
    read_whole,
)
from balancing.endpoints.credentials import Unreadable
from balancing.endpoints.registry import Target
from balancing.errors import Broken, CallError, Refused, TimedOut, Unavailable
from balancing.kinds import KINDS
from balancing.kinds.contract import EndpointKind, Outgoing
from balancing.kinds.shape import error as error_body
from balancing.kinds.shape import unsupported
from balancing.outbound import connector

LARGEST_REFUSAL = 64 * 1024
SHORTEST_SECRET = 8
# These speak of the endpoint (its credential, its models), not of the client's request.
_ENDPOINT_FAULTS = frozenset({401, 402, 403, 404, 407, 408, 425, 429})


class Client:
    """All calls of one worker process, over kept-alive connections."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=connector(limit=0, ttl_dns_cache=10, keepalive_timeout=30),
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
        kind, credential = KINDS[target.access.kind], _credential(target)
        asked = upstream(target, call)
        outgoing = _request(kind, target, asked, credential)
        call = replace(call, model=asked.model) if asked.model else call
        timeouts = call.timeouts.of(target.access)
        guard = Guard(timeouts)
        with failures(guard):
            async with guard.timeout, self._send(target, outgoing, timeouts.connect) as response:
                if response.status != 200:
                    raise await refusal_of(response, kind, credential)
                guard.accepted()
                streamed = response.content_type == "text/event-stream"
                if call.stream and streamed:
                    return await read_stream(response, call, on_chunk, guard, kind.translator())
                translate = None if kind.passes_through else kind.whole
                return await read_whole(response, call, on_chunk, guard, translate)

    async def models(self, target: Target, timeouts: Timeouts) -> list[str]:
        """The models that an endpoint says it serves.

        Raises:
            CallError: it does not say.
        """
        kind, credential = KINDS[target.access.kind], _credential(target)
        outgoing = kind.listing(target, credential)
        guard = Guard(timeouts)
        with failures(guard):
            async with guard.timeout, self._send(target, outgoing, timeouts.connect) as response:
                if response.status != 200:
                    raise await refusal_of(response, kind, credential)
                data = await read_at_most(response, LARGEST_ANSWER)
        try:
            return kind.listed(orjson.loads(data))
        except UNKNOWN_SHAPE:
            raise Broken(
                "malformed", "the endpoint's list of models has an unknown shape"
            ) from None

    def _send(self, target: Target, outgoing: Outgoing, connect_seconds: float) -> Any:
        extra = dict(target.access.extra_headers)
        return self._session.request(
            "POST" if outgoing.body else "GET",
            outgoing.url,
            data=outgoing.body or None,
            headers={**outgoing.headers, **extra, **target.naming},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds),
            **target.route,
        )


def _request(kind: EndpointKind, target: Target, call: Call, credential: str) -> Outgoing:
    try:
        return kind.request(target, call, credential)
    except UNKNOWN_SHAPE:
        raise unsupported("the model's provider does not take a request of this shape") from None


def upstream(target: Target, call: Call) -> Call:
    """The request as it is, but for a model that the endpoint knows by another name."""
    if not target.model_aliases:
        return call
    fields = orjson.loads(call.body)
    name = fields.get("model")
    if not isinstance(name, str) or target.upstream_model(name) == name:
        return call
    fields["model"] = target.upstream_model(name)
    return replace(call, body=orjson.dumps(fields).decode(), model=name)


def _credential(target: Target) -> str:
    try:
        return target.access.credential(target.api_key_variable)
    except Unreadable as error:
        raise Unavailable("credential", f"the stored credential is unreadable: {error}") from None


@contextmanager
def failures(guard: Guard) -> Iterator[None]:
    """What can go wrong on the way, as errors of a call."""
    try:
        yield
    except aiohttp.ServerTimeoutError:
        raise TimedOut("connect_timeout", "the endpoint did not accept in time") from None
    except TimeoutError:
        raise guard.error() from None
    except (aiohttp.ClientError, OSError, UnicodeError) as error:
        # UnicodeError: the host's name has no form for a resolver.
        if guard.phase == "connect":
            raise Unavailable("connect_failed", _describe(error)) from None
        raise Broken("broken", f"the endpoint's answer broke off: {_describe(error)}") from None


async def refusal_of(
    response: aiohttp.ClientResponse, kind: EndpointKind, credential: str = ""
) -> CallError:
    """What an endpoint's refusal amounts to; servers that echo the credential do so in vain."""
    status = response.status
    data = (await read_at_most(response, LARGEST_REFUSAL)).decode("utf-8", "replace")
    try:
        parsed = orjson.loads(data)
        # On one line: it may be sent on as a server-sent event.
        data = _without(orjson.dumps(parsed).decode(), credential)
        parsed = orjson.loads(data)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        parsed, data = {}, ""
    message = message_of(parsed) or f"the endpoint answered {status}"
    if 300 <= status < 400:
        message = f"the endpoint redirects ({status}); give it the base URL that it moved to"
    ours = 400 <= status < 500 and status not in _ENDPOINT_FAULTS
    if ours and not kind.blames_endpoint(status, parsed):
        if data and not kind.passes_through:
            data = error_body(message, kind="invalid_request_error")
        return Refused("refused", message, status=status, body=data)
    told = _retry_after(response.headers.get("Retry-After", ""))
    return Unavailable(
        f"http_{status}",
        message,
        status=status,
        retry_after_seconds=told or kind.retry_after_seconds(parsed),
    )


def _without(text: str, credential: str) -> str:
    """JSON text in which no string holds the credential; a very short one is no secret."""
    if len(credential) < SHORTEST_SECRET:
        return text
    return text.replace(orjson.dumps(credential).decode()[1:-1], "***")


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
