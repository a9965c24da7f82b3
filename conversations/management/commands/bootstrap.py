"""`manage.py bootstrap`: an operator, a tenant with a key, and the endpoint of the environment.

It may run again. It reads LLM_BASE_URL, LLM_MODEL, LLM_MAX_CONCURRENT, LLMQUEUE_API_KEY and
LLMQUEUE_ADMIN_PASSWORD. It prints one line of JSON with the credentials in force; null stands
for those that exist already and were not given.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from balancing.calls.client import Client
from balancing.declared import apply_configured
from balancing.endpoints.registry import Target, target_of
from balancing.errors import CallError
from balancing.health.endpoint_test import PATIENCE
from balancing.models import Endpoint
from balancing.services import register
from conversations.models import ApiKey, Operator, Tenant, User

ENDPOINT = "default"


class Command(BaseCommand):
    help = "Create an operator, a demo tenant, user and key, and register LLM_BASE_URL."

    def handle(self, *args: Any, **options: Any) -> None:
        with transaction.atomic():
            user, password = _operator()
            key = _api_key()
            if base_url := os.environ.get("LLM_BASE_URL"):
                _endpoint(base_url)
        apply_configured()
        credentials = {"api_key": key, "admin_user": user, "admin_password": password}
        self.stdout.write(json.dumps(credentials))


def _operator() -> tuple[str, str | None]:
    """The operator's name, and the password; None if the operator exists and none was given."""
    name = os.environ.get("LLMQUEUE_ADMIN_USER", "admin")
    given = os.environ.get("LLMQUEUE_ADMIN_PASSWORD")
    operator, created = Operator.objects.get_or_create(
        username=name, defaults={"is_staff": True, "is_superuser": True}
    )
    if not given and not created:
        return name, None
    password = given or secrets.token_urlsafe(12)
    if not operator.check_password(password):
        operator.set_password(password)
        operator.save(update_fields=["password"])
    return name, password


def _api_key() -> str | None:
    """The demo tenant's key; None if one exists and none was given."""
    tenant, _ = Tenant.objects.get_or_create(name="demo")
    user, _ = User.objects.get_or_create(tenant=tenant, external_id="demo")
    fields = {"name": "demo", "tenant": tenant, "user": user, "scope": ApiKey.Scope.OPERATOR}
    given = os.environ.get("LLMQUEUE_API_KEY", "")
    if not given:
        if ApiKey.objects.get_usable_keys().filter(tenant=tenant, name="demo").exists():
            return None
        return str(ApiKey.objects.create_key(**fields)[1])
    prefix, _, secret = given.partition(".")
    if len(prefix) != 8 or len(secret) < 32:
        raise CommandError("LLMQUEUE_API_KEY must be 8 characters, a dot and at least 32 more")
    known = ApiKey.objects.filter(prefix=prefix).first()
    if known is None:
        hashed = ApiKey.objects.key_generator.hash(given)
        ApiKey.objects.create(prefix=prefix, hashed_key=hashed, **fields)
    elif known.revoked or not known.is_valid(given):
        raise CommandError("LLMQUEUE_API_KEY is revoked, or another key has its first 8 characters")
    return given


def _endpoint(base_url: str) -> None:
    credential = "LLM_API_KEY" if os.environ.get("LLM_API_KEY") else ""
    model = os.environ.get("LLM_MODEL")
    fields: dict[str, Any] = {"api_key_variable": credential}
    if slots := os.environ.get("LLM_MAX_CONCURRENT"):
        fields["max_concurrent"] = int(slots)
    register(
        name=ENDPOINT,
        base_url=base_url,
        model_names=[model] if model else _served(base_url),
        **fields,
    )


def _served(base_url: str) -> list[str]:
    """The models that the endpoint lists when it is called as workers call it."""
    row = Endpoint(name=ENDPOINT, base_url=base_url, api_key_variable="LLM_API_KEY")
    try:
        return asyncio.run(_list(target_of(row)))
    except CallError as error:
        raise CommandError(
            f"LLM_BASE_URL does not list its models ({error}): set LLM_MODEL to name one"
        ) from None


async def _list(target: Target) -> list[str]:
    client = Client()
    try:
        return await client.models(target, PATIENCE)
    finally:
        await client.close()
