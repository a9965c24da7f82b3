"""What an operator does to an endpoint."""

from __future__ import annotations

from typing import Any

from balancing import membership, registry
from balancing.models import Endpoint


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
    membership.ask_again(endpoint.pk)
    registry.forget()
    return endpoint


def delete(*, endpoint_id: int) -> None:
    """Forget an endpoint, a group with its members; requests that run there finish."""
    Endpoint.objects.filter(pk=endpoint_id).delete()
    registry.forget()


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
    membership.members_follow(endpoint_id, state)
    registry.forget()
