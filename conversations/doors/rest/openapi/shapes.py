"""Which shapes do requests and answers have in the OpenAPI document? They validate nothing.

`requests/` reads the requests: it is fast enough for batches, and refuses with business codes.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers

from balancing.models import Endpoint as EndpointRow
from conversations.doors.rest.protocol import statuses
from conversations.doors.rest.requests.filters import CONVERSATION_ORDERS, MESSAGE_ORDERS
from conversations.models import Conversation as ConversationRow
from conversations.priority import rules
from scheduling.models import Priority

LEVELS = [(name, name) for name in Priority.labels]
STATUSES = [(name, name) for name in statuses.NAMES]
STATES = ConversationRow.State.choices


class MessageDraft(serializers.Serializer[Any]):
    content = serializers.CharField()
    user_id = serializers.CharField(
        max_length=200, help_text="Your own name for the user; created on first use."
    )
    conversation_id = serializers.CharField(required=False)
    priority = serializers.ChoiceField(choices=LEVELS, required=False)
    model = serializers.CharField(required=False)
    metadata = serializers.DictField(required=False)
    scheduled_at = serializers.DateTimeField(required=False, help_text="Not before this time.")
    timeout = serializers.FloatField(
        required=False, help_text="Total seconds from submit (or scheduled_at) to the answer."
    )


class MessageBatch(serializers.Serializer[Any]):
    messages = MessageDraft(many=True)


class StatusChange(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=STATUSES)


class StateChange(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=STATES)


class Cost(serializers.Serializer[Any]):
    amount = serializers.FloatField(help_text="Of all attempts.")
    currency = serializers.CharField()
    estimated = serializers.BooleanField(help_text="The endpoint reported no usage.")


class Usage(serializers.Serializer[Any]):
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    total_tokens = serializers.IntegerField()


class Timings(serializers.Serializer[Any]):
    queued = serializers.FloatField(allow_null=True, help_text="seconds")
    first_token = serializers.FloatField(allow_null=True, help_text="seconds")
    processing = serializers.FloatField(allow_null=True, help_text="seconds")
    total = serializers.FloatField(allow_null=True, help_text="seconds")


class RequestError(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()


class Analysis(serializers.Serializer[Any]):
    script = serializers.CharField(allow_null=True)
    language = serializers.CharField(allow_null=True, help_text="ISO 639-1, where it is plain")
    is_question = serializers.BooleanField()
    estimated_tokens = serializers.IntegerField(help_text="of the content")
    history = serializers.DictField(
        required=False,
        help_text="In a conversation: turns sent with it and dropped, by which policy, and the"
        " prompt's estimated tokens.",
    )


class Message(serializers.Serializer[Any]):
    id = serializers.CharField()
    conversation_id = serializers.CharField(allow_null=True)
    user_id = serializers.CharField()
    role = serializers.ChoiceField(choices=[("user", "user"), ("assistant", "assistant")])
    content = serializers.CharField()
    reply_to = serializers.CharField(allow_null=True)
    metadata = serializers.DictField()
    analysis = Analysis(allow_null=True, help_text="Ours; a user's messages only.")
    status = serializers.ChoiceField(
        choices=STATUSES, help_text="`pending`: queued, or held until it may be."
    )
    held_reason = serializers.CharField(allow_null=True)
    cancel_requested = serializers.BooleanField(allow_null=True)
    queue_name = serializers.CharField(allow_null=True, help_text="the name of its priority")
    priority = serializers.ChoiceField(choices=LEVELS, allow_null=True)
    priority_reason = serializers.CharField(
        allow_null=True, help_text="for example `rule: urgent words` or `tenant default`"
    )
    model = serializers.CharField(allow_null=True)
    retry_count = serializers.IntegerField(allow_null=True)
    max_retries = serializers.IntegerField(allow_null=True)
    position = serializers.IntegerField(allow_null=True, help_text="1 is next, 0 not waiting")
    estimated_wait = serializers.FloatField(
        allow_null=True, help_text="seconds; null while there is nothing to estimate by"
    )
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    scheduled_at = serializers.DateTimeField(allow_null=True)
    deadline_at = serializers.DateTimeField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)
    usage = Usage(allow_null=True)
    cost = Cost(allow_null=True)
    timings = Timings(allow_null=True)
    error = RequestError(allow_null=True)


class Attempt(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    outcome = serializers.CharField()
    endpoint = serializers.CharField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField()
    seconds = serializers.FloatField(allow_null=True)
    error = RequestError(allow_null=True)


class MessageDetail(Message):
    answer = serializers.CharField(allow_null=True)
    attempts = Attempt(many=True)


class Accepted(serializers.Serializer[Any]):
    id = serializers.CharField()
    conversation_id = serializers.CharField(allow_null=True)
    user_id = serializers.CharField()
    status = serializers.ChoiceField(choices=STATUSES)


class BatchReceipt(serializers.Serializer[Any]):
    count = serializers.IntegerField()
    messages = Accepted(many=True)


class ConversationChanges(serializers.Serializer[Any]):
    title = serializers.CharField(required=False, max_length=200)
    context = serializers.CharField(  # type: ignore[assignment]  # DRF has one, and allows it
        required=False, help_text="The system prompt."
    )
    model = serializers.CharField(required=False)
    priority = serializers.ChoiceField(choices=LEVELS, required=False, allow_null=True)
    metadata = serializers.DictField(required=False)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)


class ConversationDraft(ConversationChanges):
    user_id = serializers.CharField(max_length=200)


class Conversation(ConversationDraft):
    id = serializers.CharField()
    state = serializers.ChoiceField(choices=STATES)
    message_count = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    last_active_at = serializers.DateTimeField()


class Deleted(serializers.Serializer[Any]):
    id = serializers.CharField()
    deleted = serializers.BooleanField()


class Endpoint(serializers.Serializer[Any]):
    id = serializers.IntegerField(read_only=True)
    name = serializers.CharField()
    base_url = serializers.CharField(help_text="Up to and including /v1.")
    models = serializers.ListField(child=serializers.CharField())
    api_key_variable = serializers.CharField(
        required=False, help_text="The workers' environment variable that holds the credential."
    )
    credential = serializers.CharField(
        required=False,
        allow_null=True,
        help_text="Encrypted and never shown: answers say whether and when it was set "
        "(`is_set`, `set_at`, `ends_in`). null takes it out. An endpoint that moves to another "
        "host, proxy or certificate authority needs it, or `api_key_variable`, again.",
    )
    kind = serializers.ChoiceField(choices=EndpointRow.Kind.choices, required=False)
    apis = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="chat, completion, embedding"
    )
    api_version = serializers.CharField(required=False)
    extra_headers = serializers.DictField(child=serializers.CharField(), required=False)
    ca_bundle = serializers.CharField(required=False, help_text="PEM")
    verify_tls = serializers.BooleanField(required=False)
    proxy_url = serializers.CharField(required=False)
    connect_timeout = serializers.FloatField(required=False, allow_null=True)
    first_token_timeout = serializers.FloatField(required=False, allow_null=True)
    stall_timeout = serializers.FloatField(required=False, allow_null=True)
    total_timeout = serializers.FloatField(required=False, allow_null=True)
    requests_per_minute = serializers.IntegerField(required=False, allow_null=True)
    tokens_per_minute = serializers.IntegerField(required=False, allow_null=True)
    weight = serializers.FloatField(required=False)
    max_concurrent = serializers.IntegerField(required=False)
    state = serializers.CharField(required=False, help_text="enabled, draining or disabled")
    model_aliases = serializers.DictField(
        required=False, help_text="Public name to the endpoint's own."
    )
    prices = serializers.DictField(
        required=False,
        help_text="By model, or `*`: `input`, `cached_input`, `output`, per million tokens.",
    )
    discover = serializers.ChoiceField(
        choices=[("", "one server"), ("dns", "a server at each address of the name")],
        required=False,
    )
    discover_models = serializers.BooleanField(
        required=False, help_text="Take the models from its GET /v1/models."
    )
    managed_by = serializers.CharField(read_only=True, help_text="empty, file or dns")
    group_id = serializers.IntegerField(read_only=True, allow_null=True)
    vanished_at = serializers.DateTimeField(read_only=True, allow_null=True)
    refreshed_at = serializers.DateTimeField(read_only=True, allow_null=True)
    refresh_error = serializers.CharField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)


class UsageRow(serializers.Serializer[Any]):
    day = serializers.DateField(required=False)
    tenant_id = serializers.UUIDField(required=False, allow_null=True)
    tenant = serializers.CharField(required=False, allow_null=True)
    user_id = serializers.CharField(required=False, allow_null=True)
    model = serializers.CharField(required=False)
    endpoint = serializers.CharField(required=False)
    requests = serializers.IntegerField()
    estimated_requests = serializers.IntegerField(
        help_text="Those whose endpoint reported no usage: their tokens are estimated."
    )
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    total_tokens = serializers.IntegerField()
    cost = serializers.FloatField(help_text="At the prices of the moment; 0 where none is known.")


class UsageReport(serializers.Serializer[Any]):
    currency = serializers.CharField()
    to = serializers.DateField()
    items = UsageRow(many=True)
    truncated = serializers.BooleanField(help_text="The dearest 1000 are shown.")
    total = UsageRow()

    def get_fields(self) -> dict[str, Any]:
        # `from` cannot be a name in Python.
        return {"from": serializers.DateField(), **super().get_fields()}


class Resource(serializers.Serializer[Any]):
    id = serializers.IntegerField(read_only=True)
    name = serializers.CharField()
    type = serializers.ChoiceField(choices=[("llm_endpoint", "llm_endpoint")], required=False)
    base_url = serializers.CharField(write_only=True, help_text="Up to and including /v1.")
    models = serializers.ListField(child=serializers.CharField())
    total = serializers.IntegerField(help_text="Requests it runs at once.")
    used = serializers.IntegerField(read_only=True, allow_null=True)
    available = serializers.IntegerField(read_only=True, allow_null=True)
    utilisation = serializers.FloatField(read_only=True, allow_null=True)
    status = serializers.CharField(read_only=True, help_text="enabled, draining or disabled")


class ModelPool(serializers.Serializer[Any]):
    id = serializers.IntegerField(read_only=True)
    pattern = serializers.CharField(help_text="A model's name, or a pattern such as llama-*.")
    profile = serializers.CharField(
        required=False, help_text="Such as expected_work; empty: as in the settings."
    )
    fallback_models = serializers.ListField(child=serializers.CharField(), required=False)
    hedging = serializers.BooleanField(required=False)
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)


class PriorityRule(serializers.Serializer[Any]):
    id = serializers.IntegerField(read_only=True)
    name = serializers.CharField(max_length=100)
    order = serializers.IntegerField(required=False, help_text="The lowest that matches decides.")
    enabled = serializers.BooleanField(required=False)
    tenant_id = serializers.UUIDField(
        required=False, allow_null=True, help_text="null: all tenants"
    )
    type = serializers.ChoiceField(choices=[(name, name) for name in rules.KINDS])
    keywords = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Any of them, whole words."
    )
    pattern = serializers.CharField(required=False, help_text="RE2 syntax.")
    min_chars = serializers.IntegerField(required=False, allow_null=True)
    max_chars = serializers.IntegerField(required=False, allow_null=True)
    metadata_key = serializers.CharField(required=False)
    metadata_value = serializers.CharField(
        required=False, help_text="Empty: the key is there at all."
    )
    priority = serializers.ChoiceField(choices=LEVELS)
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)


class UserPriority(serializers.Serializer[Any]):
    user_id = serializers.CharField(max_length=200)
    priority = serializers.ChoiceField(choices=LEVELS, allow_null=True)
    tenant_id = serializers.UUIDField(required=False, help_text="The key's own unless named.")


class Details(serializers.Serializer[Any]):
    field = serializers.CharField(allow_null=True)
    reason = serializers.CharField()


class Error(serializers.Serializer[Any]):
    code = serializers.IntegerField(help_text="The business code.")
    message = serializers.CharField()
    error = serializers.CharField()
    details = Details()
    timestamp = serializers.DateTimeField()


class Pagination(serializers.Serializer[Any]):
    page = serializers.IntegerField()
    page_size = serializers.IntegerField()
    total = serializers.IntegerField()
    total_pages = serializers.IntegerField()
    total_is_capped = serializers.BooleanField(required=False)


@cache
def enveloped(data: Any, name: str = "") -> Any:
    """The envelope around `data`, a serializer or field class: one component for all its uses."""
    return _enveloped(data(), name or data.__name__)


@cache
def page_of(item: Any) -> Any:
    name = f"{item.__name__}Page"
    fields = {"items": item(many=True), "pagination": Pagination()}
    return _enveloped(inline_serializer(name=name, fields=fields), name)


def _enveloped(data: Any, name: str) -> Any:
    return inline_serializer(
        name=f"{name}Envelope",
        fields={
            "code": serializers.IntegerField(),
            "message": serializers.CharField(),
            "data": data,
            "timestamp": serializers.DateTimeField(),
        },
    )


ANYTHING = serializers.DictField

REFUSALS: dict[Any, Any] = {
    400: OpenApiResponse(Error, "1001, 1002, 1003, 1006, 1014: the request is not valid"),
    401: OpenApiResponse(Error, "1011: no valid API key"),
    403: OpenApiResponse(Error, "1012: the key may not do that"),
    404: OpenApiResponse(Error, "1004, 1005, 1016: no such thing, or another tenant's"),
    409: OpenApiResponse(Error, "1013: the present state does not allow it"),
}
SUBMIT_REFUSALS: dict[Any, Any] = REFUSALS | {
    413: OpenApiResponse(Error, "1015: the body is too large"),
    429: OpenApiResponse(Error, "1009: too many requests; see Retry-After"),
    503: OpenApiResponse(Error, "1007, 1008, 2001, 2003: try again after Retry-After"),
}


def _query(name: str, text: str = "", *, enum: list[str] | None = None) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.STR, description=text, enum=enum)


_PAGES = [
    OpenApiParameter("page", OpenApiTypes.INT, description="from 1"),
    OpenApiParameter("page_size", OpenApiTypes.INT, description="20, at most 100"),
]
MESSAGE_FILTERS = [
    *_PAGES,
    _query("conversation_id"),
    _query("user_id"),
    _query("status", enum=statuses.NAMES),
    _query("priority", enum=list(Priority.labels)),
    _query("sort", f"{', '.join(MESSAGE_ORDERS)}; with `-` the other way round"),
]
CONVERSATION_FILTERS = [
    *_PAGES,
    _query("user_id"),
    _query("state", enum=list(ConversationRow.State.values)),
    _query("priority", enum=list(Priority.labels)),
    _query("sort", f"{', '.join(CONVERSATION_ORDERS)}; with `-` the other way round"),
]
