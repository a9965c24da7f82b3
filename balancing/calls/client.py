"""Sends a call to an endpoint and turns everything that goes wrong into a `CallError`.

Cancelling the task that awaits a call closes its connection. The endpoint sees that and stops
generating. Redirects are refused, because a credential must not follow one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from balancing.calls.answer import Answer, OnChunk
from balancing.calls.connection import Stale, use
from balancing.calls.events import LARGE
from balancing.calls.reader import read_answer
from balancing.calls.reading import GRACE_SECONDS, Body, Reading, pieces, read_at_most
from balancing.calls.refusals import LARGEST_REFUSAL, Refusal, discreet, error_of
from balancing.calls.timer import CallTimer, Phase
from balancing.endpoints.credentials import Unreadable
from balancing.endpoints.target import Target
from balancing.errors import (
    UNKNOWN_SHAPE,
    Broken,
    CallError,
    TimedOut,
    Unavailable,
    Unparsable,
)
from balancing.kinds import KINDS
from balancing.kinds.call import Call, Timeouts
from balancing.kinds.contract import EndpointKind, Outgoing
from balancing.kinds.shape import unsupported
from balancing.outbound import connector

# Some gateways send headers of tens of kilobytes: policies, traces, cookies.
LARGEST_HEADER = 64 * 1024
LARGEST_LISTING = 8 * 1024 * 1024
# Kept-alive connections that may turn out to be closed, one after the other, in one call.
MOST_STALE = 10


class Client:
    """All calls of one worker process, over kept-alive connections."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=use(connector(limit=0, ttl_dns_cache=10, keepalive_timeout=30)),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=256 * 1024,
            max_line_size=LARGEST_HEADER,
            max_field_size=LARGEST_HEADER,
        )

    async def close(self) -> None:
        await self._session.close()

    async def call(self, target: Target, call: Call, on_chunk: OnChunk) -> Answer:
        """Run one request to its end; `on_chunk` gets each chunk as it comes.

        Raises:
            Refused: the request is at fault.
            Unavailable, TimedOut, Broken: another attempt may succeed.
        """
        kind, credential = KINDS[target.access.kind], _credential(target)
        if len(call.body) > LARGE:
            # To translate a hundred thousand messages takes a second.
            asked, outgoing = await asyncio.to_thread(_written, kind, target, call, credential)
        else:
            asked, outgoing = _written(kind, target, call, credential)
        call = replace(call, model=asked.model) if asked.model else call
        timeouts = call.timeouts.at(target.access, streamed=call.stream)
        timer = CallTimer(timeouts)
        with _kept_secret(target, credential), call_errors(timer):
            async with (
                timer.timeout,
                await self._send(target, outgoing, timeouts.connect) as response,
            ):
                if not 200 <= response.status < 300:
                    raise await _refusal(response, credential, asked.body)
                timer.accepted()
                labelled = "event-stream" in response.headers.get("Content-Type", "").lower()
                reading = Reading(call, kind, on_chunk, timer)
                return await read_answer(Body(response, timer), reading, labelled=labelled)

    async def models(self, target: Target, timeouts: Timeouts) -> list[str]:
        """The models that an endpoint lists.

        Raises:
            CallError: the endpoint gives no list.
        """
        kind, credential = KINDS[target.access.kind], _credential(target)
        outgoing = kind.listing(target, credential)
        timer = CallTimer(timeouts)
        with _kept_secret(target, credential), call_errors(timer):
            async with (
                timer.timeout,
                await self._send(target, outgoing, timeouts.connect) as response,
            ):
                if not 200 <= response.status < 300:
                    raise await _refusal(response, credential)
                data = await read_at_most(response, LARGEST_LISTING)
        try:
            return kind.listed(orjson.loads(data))
        except UNKNOWN_SHAPE:
            raise Broken(
                "malformed", "the endpoint's list of models has an unknown shape"
            ) from None

    async def _send(
        self, target: Target, outgoing: Outgoing, connect_seconds: float
    ) -> aiohttp.ClientResponse:
        """Send a request, again where the endpoint had closed the connection unseen."""
        extra = dict(target.access.extra_headers)
        options: dict[str, Any] = {
            "data": outgoing.body or None,
            "headers": {**outgoing.headers, **extra, **target.host_header},
            "timeout": aiohttp.ClientTimeout(total=None, connect=connect_seconds),
            **target.connection_options,
        }
        method = "POST" if outgoing.body else "GET"
        for _ in range(MOST_STALE):
            try:
                return await self._session.request(method, outgoing.url, **options)
            except Stale:
                continue
        return await self._session.request(method, outgoing.url, **options)


def _written(
    kind: EndpointKind, target: Target, call: Call, credential: str
) -> tuple[Call, Outgoing]:
    """The call as the endpoint is asked, and its HTTP request."""
    asked = upstream(target, call)
    return asked, _request(kind, target, asked, credential)


def _request(kind: EndpointKind, target: Target, call: Call, credential: str) -> Outgoing:
    try:
        return kind.request(target, call, credential)
    except UNKNOWN_SHAPE:
        raise unsupported("the model's provider does not take a request of this shape") from None


def upstream(target: Target, call: Call) -> Call:
    """The call with the endpoint's own name of the model, where it has another."""
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
def _kept_secret(target: Target, credential: str) -> Iterator[None]:
    """Whatever an endpoint says, no error repeats what it is called with."""
    try:
        yield
    except CallError as error:
        secrets = (credential, *dict(target.access.extra_headers).values())
        discreet(error, secrets, urlsplit(target.base_url).hostname or "")
        raise


@contextmanager
def call_errors(timer: CallTimer) -> Iterator[None]:
    """Raise connection errors and timeouts as a `CallError`."""
    try:
        yield
    except aiohttp.ServerTimeoutError:
        raise TimedOut("connect_timeout", "the endpoint did not accept in time") from None
    except TimeoutError:
        raise timer.error() from None
    except aiohttp.ClientResponseError as error:
        # Its head is no HTTP, or it is compressed as nobody asked for: it would be so again.
        encoded = "content-encoding" in error.message
        code = "content_encoding" if encoded else "bad_http"
        raise Unparsable(code, f"the endpoint's answer cannot be read: {error.message}") from None
    except (aiohttp.ClientError, OSError, UnicodeError) as error:
        # UnicodeError: no resolver takes the host's name.
        if timer.phase is Phase.CONNECT:
            raise Unavailable("connect_failed", _describe(error)) from None
        raise Broken("broken", f"the endpoint's answer broke off: {_describe(error)}") from None


async def _refusal(response: aiohttp.ClientResponse, credential: str, sent: str = "") -> CallError:
    text = (await _said(response)).decode("utf-8", "replace")
    headers = {name.lower(): value for name, value in response.headers.items()}
    host = response.url.host or ""
    return error_of(Refusal(response.status, text, headers, host), credential, sent=sent)


async def _said(response: aiohttp.ClientResponse) -> bytes:
    """What comes with a refusal; its status is enough where the rest does not come."""
    said = bytearray()
    with suppress(aiohttp.ClientError, OSError):
        async with asyncio.timeout(GRACE_SECONDS):
            async for piece in pieces(response, LARGEST_REFUSAL):
                said += piece
    return bytes(said)


def _describe(error: BaseException) -> str:
    return type(error).__name__ + (f": {error}" if str(error) else "")
