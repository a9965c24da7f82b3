"""Which shapes does what operators steer have in the OpenAPI document?"""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from balancing.models import Endpoint as EndpointRow
from conversations.doors.rest.openapi.shapes import LEVELS
from conversations.priority import rules


class RefusedField(serializers.Serializer[Any]):
    field = serializers.CharField()
    model = serializers.CharField(help_text="The endpoint's own name of it.")
    since = serializers.DateTimeField(help_text="Forgotten a day later.")
    text = serializers.CharField(help_text="The endpoint's refusal.")


class Forgotten(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    forgotten = serializers.IntegerField(help_text="How many fields are sent again.")


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
    refused_fields = RefusedField(many=True, read_only=True)
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
    first_token_timeout = serializers.FloatField(
        required=False, allow_null=True, help_text="Silence of a stream before its first byte."
    )
    stall_timeout = serializers.FloatField(
        required=False, allow_null=True, help_text="Silence of a stream between two pieces."
    )
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
