"""What an operator does to an endpoint."""

from __future__ import annotations

from typing import Any

from balancing import registry
from balancing.models import Endpoint, ModelPool


def register(*, name: str, base_url: str, model_names: list[str], **fields: Any) -> Endpoint:
    """Add an endpoint, or change the one of that name.

    Raises:
        django.core.exceptions.ValidationError: a field is not valid.
    """
    endpoint = Endpoint.objects.filter(name=name).first() or Endpoint(name=name)
    values = {"base_url": base_url, "model_names": model_names, **fields}
    for field, value in values.items():
        setattr(endpoint, field, value)
    endpoint.full_clean()
    endpoint.save()
    registry.forget()
    return endpoint


def drain(*, endpoint_id: int) -> None:
    """Give it no new requests; running ones finish."""
    _move(endpoint_id, Endpoint.State.DRAINING)


def enable(*, endpoint_id: int) -> None:
    _move(endpoint_id, Endpoint.State.ENABLED)


def disable(*, endpoint_id: int) -> None:
    """Give it no new requests and hide its models."""
    _move(endpoint_id, Endpoint.State.DISABLED)


def _move(endpoint_id: int, state: Endpoint.State) -> None:
    Endpoint.objects.filter(pk=endpoint_id).update(state=state)
    registry.forget()


def set_pool(*, pattern: str, **fields: Any) -> ModelPool:
    """Say how requests for some models are balanced, or change it; workers know within seconds.

    Raises:
        django.core.exceptions.ValidationError: a field is not valid.
    """
    pool = ModelPool.objects.filter(pattern=pattern).first() or ModelPool(pattern=pattern)
    for field, value in fields.items():
        setattr(pool, field, value)
    pool.full_clean()
    pool.save()
    return pool
