"""What does an operator say of an endpoint or a model pool? The type of each field.

Django's fields convert: `true` would be 1, 3.7 would be 3, a list would be its text. What values of
the right type may say is checked by the models' validators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from balancing.validators import LARGEST_BUNDLE
from conversations.doors.rest.requests import fields

Reader = Callable[[Any], Any]
LONGEST_URL = 500
LONGEST_CREDENTIAL = 10_000
# What clients call a field, where the model has another name for it.
NAMES = {"models": "model_names"}
CLIENT_NAMES = {model: client for client, model in NAMES.items()}


def _text(name: str, limit: int) -> Reader:
    return partial(fields.own_text, field=name, limit=limit)


def _optional(reader: Callable[..., Any], name: str) -> Reader:
    return lambda value: None if value is None else reader(value, name)


def _timeout(name: str) -> Reader:
    return _optional(fields.number, name)


ENDPOINT: Mapping[str, Reader] = {
    "name": partial(fields.line, field="name", limit=64),
    "base_url": _text("base_url", LONGEST_URL),
    "models": partial(fields.words, field="models"),
    "api_key_variable": _text("api_key_variable", 100),
    "weight": partial(fields.number, field="weight"),
    "max_concurrent": partial(fields.whole, field="max_concurrent", least=1),
    "kind": _text("kind", 20),
    "apis": partial(fields.words, field="apis"),
    "api_version": _text("api_version", 40),
    "extra_headers": partial(fields.json_object, field="extra_headers"),
    "ca_bundle": _text("ca_bundle", LARGEST_BUNDLE),
    "verify_tls": partial(fields.flag, field="verify_tls"),
    "proxy_url": _text("proxy_url", LONGEST_URL),
    "connect_timeout": _timeout("connect_timeout"),
    "first_token_timeout": _timeout("first_token_timeout"),
    "stall_timeout": _timeout("stall_timeout"),
    "total_timeout": _timeout("total_timeout"),
    "requests_per_minute": _optional(fields.whole, "requests_per_minute"),
    "tokens_per_minute": _optional(fields.whole, "tokens_per_minute"),
    "model_aliases": partial(fields.json_object, field="model_aliases"),
    "prices": partial(fields.json_object, field="prices"),
    "discover": _text("discover", 4),
    "discover_models": partial(fields.flag, field="discover_models"),
}
MODEL_POOL: Mapping[str, Reader] = {
    "pattern": partial(fields.line, field="pattern", limit=200),
    "profile": partial(fields.line, field="profile", limit=200),
    "fallback_models": partial(fields.words, field="fallback_models"),
    "hedging": partial(fields.flag, field="hedging"),
    "first_token_timeout": _timeout("first_token_timeout"),
    "stall_timeout": _timeout("stall_timeout"),
}


def read(document: Mapping[str, Any], readers: Mapping[str, Reader]) -> dict[str, Any]:
    """The values that a body gives, by the model's names of their fields.

    Raises:
        RestError: one has a wrong type.
    """
    return {
        NAMES.get(name, name): read(document[name])
        for name, read in readers.items()
        if name in document
    }
