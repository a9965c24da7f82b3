"""What can operators do to endpoints and model pools?"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from copy import copy
from enum import Enum
from typing import Any

from django.core.exceptions import ValidationError

from balancing.discovery import membership
from balancing.endpoints import registry, stored_credentials
from balancing.fitting import shown
from balancing.models import Endpoint, ModelPool

RESTATE = "The endpoint moves to another host, proxy or trust: give its credential again"


class Keep(Enum):
    """In place of a credential: keep the stored one."""

    KEEP = "keep"


def register(
    *,
    name: str,
    base_url: str,
    model_names: list[str],
    credential: str | Keep | None = Keep.KEEP,
    **fields: Any,
) -> Endpoint:
    """Add an endpoint, or change the one of this name.

    Args:
        credential: is encrypted and stored; None removes the stored one.

    Raises:
        django.core.exceptions.ValidationError: a field is not valid; or the endpoint moves
            elsewhere, and its credential is not given again.
    """
    endpoint = Endpoint.objects.filter(name=name).first() or Endpoint(name=name)
    values = {"base_url": base_url, "model_names": model_names, **fields}
    return change(endpoint, values, credential=credential, restated=fields)


def change(
    endpoint: Endpoint,
    values: dict[str, Any],
    *,
    credential: str | Keep | None = Keep.KEEP,
    restated: Collection[str] = (),
) -> Endpoint:
    """Give a row new values, and save it.

    Args:
        credential: as in `register`.
        restated: the fields that this request itself contains. An endpoint whose credential comes
            from a variable may move elsewhere only if `api_key_variable` is among them.

    Raises:
        django.core.exceptions.ValidationError: as in `register`.
    """
    before = copy(endpoint)
    for field, value in values.items():
        setattr(endpoint, field, value)
    if credential is not Keep.KEEP:
        stored_credentials.set_credential(endpoint, credential)
    endpoint.full_clean()
    _require_credential(before, endpoint, credential, restated)
    endpoint.save()
    announce(endpoint_id=endpoint.pk)
    return endpoint


def announce(*, endpoint_id: int) -> None:
    """After a row was saved: have this process read it again, and discovery refresh it."""
    membership.refresh_soon(endpoint_id)
    registry.expire()


def _require_credential(
    before: Endpoint, after: Endpoint, credential: str | Keep | None, restated: Collection[str]
) -> None:
    """Refuse to send a credential elsewhere unless this request contains or names it."""
    if before.pk is None or not stored_credentials.changes_recipient(before, after):
        return
    if after.encrypted_credential and credential is Keep.KEEP:
        raise ValidationError({"credential": RESTATE})
    if after.api_key_variable and "api_key_variable" not in restated:
        raise ValidationError({"api_key_variable": RESTATE})


def delete(*, endpoint_id: int) -> None:
    """Delete an endpoint, or a group with its members; requests that run there finish."""
    delete_all([endpoint_id])


def delete_all(endpoint_ids: Iterable[int]) -> None:
    """Delete endpoints as `delete` does each."""
    Endpoint.objects.filter(pk__in=endpoint_ids).delete()
    registry.expire()


def drain(*, endpoint_id: int) -> None:
    """Give the endpoint no new requests; running ones finish."""
    _move(endpoint_id, Endpoint.State.DRAINING)


def enable(*, endpoint_id: int) -> None:
    _move(endpoint_id, Endpoint.State.ENABLED)


def disable(*, endpoint_id: int) -> None:
    """Give the endpoint no new requests, and hide its models."""
    _move(endpoint_id, Endpoint.State.DISABLED)


def _move(endpoint_id: int, state: str) -> None:
    Endpoint.objects.filter(pk=endpoint_id).update(state=state)
    membership.set_state_of_members(endpoint_id, state)
    registry.expire()


def forget_refused_fields(*, endpoint_id: int) -> int:
    """Send an endpoint again what it has refused; workers know it within seconds.

    Returns:
        how many fields it had refused.

    Raises:
        redis.RedisError: Valkey is away.
    """
    return shown.forget(endpoint_id)


def set_model_pool(*, pattern: str, **fields: Any) -> ModelPool:
    """Add a model pool, or change the one of this pattern; workers know it within seconds.

    Raises:
        django.core.exceptions.ValidationError: a field is not valid.
    """
    pool = ModelPool.objects.filter(pattern=pattern).first() or ModelPool(pattern=pattern)
    return change_model_pool(pool, fields)


def change_model_pool(pool: ModelPool, values: dict[str, Any]) -> ModelPool:
    """Give a model pool new values, and save it.

    Raises:
        django.core.exceptions.ValidationError: as in `set_model_pool`.
    """
    for field, value in values.items():
        setattr(pool, field, value)
    pool.full_clean()
    pool.save()
    return pool
