"""Random bodies at every write operation: done or refused in the envelope, never a fault."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from balancing.models import Endpoint
from conversations.doors.rest.requests import filters
from tests.field import examples
from tests.integration.rest.conftest import Api
from tests.integration.rest.test_rest_strict import ENDPOINT, MESSAGE, RULE, Rows

pytestmark = pytest.mark.integration

WHOLE: dict[str, dict[str, Any]] = {
    "/messages": MESSAGE
    | {
        "conversation_id": None,
        "priority": "low",
        "model": "tiny",
        "metadata": {"a": [1, {"b": None}]},
        "scheduled_at": None,
        "timeout": 5,
    },
    "/conversations": {
        "user_id": "u1",
        "title": "t",
        "context": "c",
        "model": "tiny",
        "priority": "high",
        "metadata": {},
        "expires_at": None,
    },
    "/endpoints": ENDPOINT
    | {
        "weight": 1.5,
        "max_concurrent": 3,
        "kind": "openai",
        "apis": ["chat"],
        "api_version": "",
        "extra_headers": {"X-A": "b"},
        "verify_tls": True,
        "proxy_url": "",
        "ca_bundle": "",
        "api_key_variable": "",
        "connect_timeout": 1,
        "stall_timeout": None,
        "requests_per_minute": 5,
        "model_aliases": {},
        "prices": {"*": {"input": 1}},
        "discover": "",
        "discover_models": False,
        "credential": None,
        "state": "enabled",
    },
    "/model-pools": {"pattern": "n-*", "profile": "", "fallback_models": [], "hedging": True},
    "/admin/preprocessor/rules": RULE
    | {"keywords": [], "pattern": "", "max_chars": None, "metadata_key": "", "tenant_id": None},
}
texts = st.one_of(
    st.text(st.characters(), max_size=8),
    st.sampled_from(["", " ", "\x00", "\ud800", "a" * 3000, "null", "1", "-1", "high", "u1"]),
    st.sampled_from(["99999-01-01T00:00:00Z", "2020-01-01T00:00:00Z", "http://a/v1", "%00"]),
)
scalars = st.one_of(
    texts,
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**31, 2**63, 10**30, -1, 0, 1e308, -0.0, 1e-320]),
    st.floats(allow_nan=False, allow_infinity=False),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=6,
)


def mutated(draw: Any, body: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """A body with some fields changed, dropped or added; whether it has one that nobody reads."""
    found = dict(body)
    for name in draw(st.lists(st.sampled_from(sorted(found) or ["a"]), max_size=3)):
        if draw(st.booleans()):
            found.pop(name, None)
        else:
            found[name] = draw(values)
    unknown = draw(st.none() | texts.filter(lambda name: name not in body))
    if unknown is not None:
        found[unknown] = draw(scalars)
    return found, unknown is not None


@contextmanager
def undone() -> Iterator[None]:
    """What is stored within is rolled back, so that no example meets another."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def rows(operator: Api, endpoint: Endpoint) -> Rows:
    return Rows(operator, endpoint)


@settings(
    max_examples=examples(30, 3000),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_body_is_done_or_refused(operator: Api, rows: Rows, data: Any) -> None:
    method, path, valid = data.draw(st.sampled_from(rows.operations))
    body, is_unknown = mutated(data.draw, WHOLE.get(path, valid))

    with undone():
        answer = operator.call(method, path, json.dumps(body))

    assert answer.status < 500, answer.body
    assert set(answer.body) >= {"code", "message", "timestamp"}
    if is_unknown:
        answer.refused(400, 1014)


PARAMETERS: dict[str, frozenset[str]] = {
    "/messages": filters.MESSAGES,
    "/conversations": filters.CONVERSATIONS,
    "/endpoints": filters.PAGES,
    "/queues/stats": frozenset({"time_range"}),
    "/usage": frozenset({"group_by", "from", "to", "tenant_id", "user_id"}),
    "/config": frozenset(),
}
said = st.one_of(
    texts,
    st.integers().map(str),
    st.sampled_from(["pending", "low", "-created_at", "desc", "1h", "day,model", "2027-01-31"]),
)


@settings(
    max_examples=examples(25, 3000),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_query_is_answered_or_refused(operator: Api, data: Any) -> None:
    path = data.draw(st.sampled_from(sorted(PARAMETERS)))
    names = st.sampled_from(sorted(PARAMETERS[path] | {"whatever"})) | texts
    query = data.draw(st.dictionaries(names, said, max_size=3))
    text = "&".join(
        f"{quote(name, errors='surrogatepass')}={quote(value, errors='surrogatepass')}"
        for name, value in query.items()
    )

    answer = operator.call("GET", f"{path}?{text}")

    assert answer.status < 500, answer.body
    # `?=value` names nothing, and a half of a surrogate pair is read as U+FFFD.
    if any(name and name not in PARAMETERS[path] for name in query):
        answer.refused(400, 1014)
