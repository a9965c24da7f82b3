"""What does a line of a file ask for? A job, or a message; or why is it refused?"""

from __future__ import annotations

from codecs import BOM_UTF8
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from django.utils import timezone

from balancing.endpoints.registry import declared_apis
from conversations.access.keys import Caller, level_of, weight_of
from conversations.dialogue.drafts import MessageDraft
from conversations.doors.lean import lenient_json
from conversations.doors.lean.refusals import Refusal, invalid
from conversations.doors.openai import request as openai
from conversations.doors.openai.request import PATHS
from conversations.doors.rest.protocol.refusals import RestError
from conversations.doors.rest.requests import drafts
from conversations.models import Tenant, User
from conversations.priority.level_choice import Asked, UnknownPriority, asked_level
from llmqueue_project.config import configuration
from scheduling.models import Api, Priority, Source
from scheduling.specs import JobSpec, estimate_cost
from scheduling.submit import estimates

_APIS = {path.removeprefix("/v1"): Api(api) for api, path in PATHS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds for each line that does not say otherwise.

    Attributes:
        timeout_seconds: from now to the answer; None for no limit.
        backlog: jobs join the queue as their level has room, and not at once.
    """

    caller: Caller
    level: Priority
    model: str = ""
    timeout_seconds: float | None = None
    backlog: bool = True


@dataclass(frozen=True, slots=True)
class Line:
    """A checked line: exactly one of `spec` and `draft`. Its number counts from 1."""

    number: int
    custom_id: str
    spec: JobSpec | None = None
    draft: MessageDraft | None = None


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is refused, with the status and the words of a door's refusal."""

    number: int
    custom_id: str
    status: int
    code: str
    message: str
    param: str | None = None

    def __str__(self) -> str:
        param = f"{self.param}: " if self.param else ""
        return f"line {self.number}: {param}{self.message}"


def caller_for(tenant: Tenant, user: User | None = None) -> Caller:
    """An operator who acts for a tenant, or for one of its users."""
    return Caller(
        key_id=UUID(int=0),
        tenant_id=tenant.pk,
        tenant_name=tenant.name,
        tenant_weight=weight_of(tenant.weight, tenant.name),
        user_level=None,
        default_level=level_of(tenant.default_priority, tenant.name),
        highest_level=level_of(tenant.highest_priority, tenant.name),
        user_id=user.pk if user else None,
        user_name=user.external_id if user else "",
        operator=True,
    )


def line_of(number: int, raw: bytes, terms: Terms, flow_id: int) -> Line | BadLine | None:
    """What a line asks for; None if it is empty."""
    raw = raw.removeprefix(BOM_UTF8)
    if not raw.strip():
        return None
    custom_id = ""
    try:
        fields = _object(raw)
        custom_id = _custom_id(fields.pop("custom_id", ""))
        return _asked(number, custom_id, fields, terms, flow_id)
    except Refusal as error:
        found = (error.status, error.code, error.message, error.param)
    except RestError as error:
        found = (error.http_status, "invalid_value", str(error), error.field or None)
    except UnknownPriority as error:
        found = (400, "invalid_priority", str(error), error.field)
    return BadLine(number, custom_id, *found)


def _object(raw: bytes) -> dict[str, Any]:
    limit = configuration().web.max_body_bytes
    if len(raw) > limit:
        reason = f"it is longer than {limit} bytes (LLMQUEUE_WEB__MAX_BODY_BYTES)"
        raise Refusal(413, "body_too_large", reason)
    try:
        fields = lenient_json.loads(raw)
    except ValueError as error:
        raise invalid(f"not JSON: {error}", code="invalid_json") from None
    if not isinstance(fields, dict):
        raise invalid("not a JSON object", code="invalid_json")
    return fields


def _custom_id(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise invalid("must be text", param="custom_id")
    return value or ""


def _asked(number: int, custom_id: str, fields: dict[str, Any], terms: Terms, flow_id: int) -> Line:
    api = _api_of(fields.get("url"))
    if isinstance(fields.get("body"), dict):
        fields = fields["body"]
    if api is None and "content" in fields:
        return Line(number, custom_id, draft=_draft(fields, terms))
    return Line(number, custom_id, spec=_spec(api or _likely_api(fields), fields, terms, flow_id))


def _api_of(url: Any) -> Api | None:
    """The API of a line of OpenAI's batch format; None if it names none.

    Raises:
        Refusal: it names one that is not served.
    """
    if url is None:
        return None
    path = url.rstrip("/").rpartition("/v1")[2] if isinstance(url, str) else ""
    if path not in _APIS:
        raise invalid(
            f"must be one of {', '.join(PATHS.values())}", param="url", code="invalid_url"
        )
    return _APIS[path]


def _likely_api(fields: dict[str, Any]) -> Api:
    if "messages" in fields:
        return Api.CHAT
    if "prompt" in fields:
        return Api.COMPLETION
    return Api.EMBEDDING if "input" in fields else Api.CHAT


def _draft(fields: dict[str, Any], terms: Terms) -> MessageDraft:
    draft = drafts.message(fields)
    seconds = draft.timeout_seconds
    if "timeout" not in fields:
        seconds = terms.timeout_seconds or configuration().scheduling.max_timeout_seconds
    if draft.model:
        _check_served(draft.model, Api.CHAT)
    return replace(
        draft,
        priority=draft.priority if draft.priority is not None else terms.level,
        model=draft.model or terms.model,
        timeout_seconds=seconds,
    )


def _spec(api: Api, fields: dict[str, Any], terms: Terms, flow_id: int) -> JobSpec:
    named = fields if fields.get("model") else fields | {"model": terms.model}
    # Nobody listens, so that a stream would be written for nobody.
    whole = {name: value for name, value in named.items() if not name.startswith("stream")}
    try:
        request = openai.parse(orjson.dumps(whole), api)
    except orjson.JSONEncodeError:
        raise invalid("nested too deeply", code="invalid_json") from None
    _check_served(request.model, api)
    asked = asked_level(request.fields, "") or Asked(terms.level, "bulk submission")
    return JobSpec(
        level=max(asked.level, terms.caller.highest_level),
        priority_reason=f"asked: {asked.by}",
        model=request.model,
        api=request.api,
        source=Source.OPENAI,
        body=request.upstream,
        tenant_id=terms.caller.tenant_id,
        user_id=terms.caller.user_id,
        flow_id=flow_id,
        cost=_cost(request, flow_id),
        deadline_at=_deadline(terms),
        backlog=terms.backlog,
    )


def _check_served(model: str, api: Api) -> None:
    served = declared_apis(model)
    if not served:
        message = f"no endpoint serves the model {model!r}"
        raise Refusal(404, "model_not_found", message, param="model")
    if api not in served:
        message = f"the model {model!r} is not served at {PATHS[api]}"
        raise Refusal(404, "unsupported_model", message, param="model")


def _cost(request: openai.Completion, flow_id: int) -> float:
    """Estimated weighted tokens; an embedding generates none."""
    if request.api == Api.EMBEDDING:
        return estimate_cost(request.upstream, 0)
    return estimates.current().cost(
        request.upstream, flow_id=flow_id, model=request.model, max_tokens=request.max_tokens
    )


def _deadline(terms: Terms) -> datetime | None:
    if terms.timeout_seconds is None:
        return None
    return timezone.now() + timedelta(seconds=terms.timeout_seconds)
