"""`POST /v1/chat/completions`, `/v1/completions` and `/v1/embeddings`: a job for each request."""

from __future__ import annotations

import asyncio

from conversations.doors.lean.backend import Backend
from conversations.doors.lean.leaving import ShuttingDown
from conversations.doors.lean.refusals import Refusal
from conversations.doors.lean.wire import Exchange, HungUp
from conversations.doors.openai.patience import early_headers_seconds
from conversations.doors.openai.reply import Reply, Submitted
from conversations.doors.openai.request import Completion, parse
from conversations.doors.openai.submission import admitted_job
from llmqueue_project.logging import request_id as usable_request_id
from scheduling.models import Api

# Bytes of a body; reading as many takes some milliseconds.
LARGE = 1024 * 1024


async def chat(backend: Backend, exchange: Exchange) -> None:
    await _serve(backend, exchange, Api.CHAT)


async def completion(backend: Backend, exchange: Exchange) -> None:
    await _serve(backend, exchange, Api.COMPLETION)


async def embedding(backend: Backend, exchange: Exchange) -> None:
    await _serve(backend, exchange, Api.EMBEDDING)


async def _parsed(raw: bytes, api: Api) -> Completion:
    """A large body is read beside the event loop, so that other clients go on."""
    if len(raw) < LARGE:
        return parse(raw, api)
    return await asyncio.to_thread(parse, raw, api)


async def _serve(backend: Backend, exchange: Exchange, api: Api) -> None:
    """Answer one request; a client that hangs up, or is cut off, cannot come back: its job ends."""
    request_id = usable_request_id(exchange.header("x-request-id"))
    try:
        caller = await backend.caller(exchange)
        request = await _parsed(await exchange.read_body(backend.config.web.max_body_bytes), api)
        early = early_headers_seconds(exchange, backend.config.web)
        spec = await admitted_job(backend, exchange, caller, request, request_id)
    except Refusal as refusal:
        await exchange.refuse(refusal, [("x-request-id", request_id)])
        return
    waiter = backend.listener.expect(spec.id)
    try:
        receipt = await backend.submit(spec)
        reply = Reply(backend, exchange, Submitted(request, spec, receipt, waiter, early))
        await exchange.unless_hung_up(reply.stream() if request.stream else reply.whole())
    except HungUp:
        await backend.cancel(spec.id)
    except ShuttingDown as refusal:
        await backend.cancel(spec.id)
        await exchange.refuse(refusal, [("x-request-id", request_id)])
    finally:
        backend.listener.forget(waiter)
