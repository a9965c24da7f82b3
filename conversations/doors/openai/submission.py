"""Which job does an OpenAI request become: its level, its flow, its cost, its deadline?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from conversations.access.keys import Caller
from conversations.doors.lean.backend import Backend
from conversations.doors.lean.refusals import Refusal
from conversations.doors.lean.wire import Exchange
from conversations.doors.openai import patience
from conversations.doors.openai.request import PATHS, Completion
from conversations.doors.openai.subject import subject_of
from conversations.priority.level_choice import (
    Choice,
    Standing,
    UnknownPriority,
    asked_level,
    choose,
)
from scheduling.models import Api, Source
from scheduling.specs import JobSpec, affinity_of, estimate_cost


async def admitted_job(
    backend: Backend, exchange: Exchange, caller: Caller, request: Completion, request_id: str
) -> JobSpec:
    """The job of a request that may join the queue.

    Requests of one session prefer one endpoint (`affinity`).

    Raises:
        Refusal: the level is unknown, the timeout is no number of seconds, no endpoint serves the
            model, intake is paused, or the queue is full.
    """
    choice = await _choice(backend, request, exchange.header("x-priority"), caller)
    await _check_served(backend, request.model, request.api)
    flow_id = await backend.flow_of(caller)
    session = exchange.header("x-session-id") or request.session
    timeout = timedelta(seconds=patience.timeout_seconds(exchange, backend.config.scheduling))
    spec = JobSpec(
        level=choice.level,
        priority_reason=choice.reason,
        model=request.model,
        api=request.api,
        source=Source.OPENAI,
        stream=request.stream,
        body=request.upstream,
        tenant_id=caller.tenant_id,
        user_id=caller.user_id,
        flow_id=flow_id,
        cost=_cost(backend, request, flow_id),
        deadline_at=datetime.now(UTC) + timeout,
        origin=backend.listener.origin,
        request_id=request_id,
        affinity=affinity_of(caller.tenant_id, session),
        allow_fallback=caller.allow_fallback,
    )
    backend.admit(spec)
    return spec


async def _choice(backend: Backend, request: Completion, header: str, caller: Caller) -> Choice:
    try:
        asked = asked_level(request.fields, header)
    except UnknownPriority as error:
        raise Refusal(400, "invalid_priority", str(error), param=error.field) from None
    return choose(
        asked,
        applying=(await backend.rules.rulebook()).of(caller.tenant_id),
        about=lambda: subject_of(request.fields),
        standing=Standing(caller.user_level, caller.default_level, caller.highest_level),
    )


async def _check_served(backend: Backend, model: str, api: Api) -> None:
    """
    Raises:
        Refusal: no endpoint is declared that serves the model by this API.
    """
    served = await backend.apis_of(model)
    if not served:
        message = f"the model {model!r} does not exist: GET /v1/models lists them"
        raise Refusal(404, "model_not_found", message, param="model")
    if api not in served:
        elsewhere = ", ".join(PATHS[each] for each in sorted(served))
        message = f"the model {model!r} is not served at {PATHS[api]}, but at {elsewhere}"
        raise Refusal(404, "unsupported_model", message, param="model")


def _cost(backend: Backend, request: Completion, flow_id: int) -> float:
    """Estimated weighted tokens; an embedding generates none."""
    if request.api == Api.EMBEDDING:
        return estimate_cost(request.upstream, 0)
    return backend.expected_cost(
        request.upstream, flow_id=flow_id, model=request.model, max_tokens=request.max_tokens
    )
