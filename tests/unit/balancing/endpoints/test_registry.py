"""Endpoints as processes remember them."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from balancing.endpoints import registry
from balancing.endpoints.registry import (
    KnownEndpoints,
    Target,
    TargetReader,
    default_model,
    known_models,
)
from balancing.models import Endpoint
from balancing.prices import Price
from llmqueue_project.config import configuration
from stores.memory import Memory, kept

REST: tuple[Any, ...] = ([], None, None, "openai", "", "", {}, "", True, "", None, None, None, None)
MEMBER: tuple[Any, ...] = ("", {}, {})
ROW = (1, "one", "http://one/v1/", ["a", "b"], "KEY", 2.0, 4, "enabled", *REST, *MEMBER)


def create(name: str, models: list[str], state: str = "enabled") -> Endpoint:
    return Endpoint.objects.create(
        name=name, base_url=f"http://{name}/v1", model_names=models, state=state
    )


@pytest.mark.parametrize("models", [["a", "b"], '["a", "b"]'])
def test_a_row_becomes_a_target(models: Any) -> None:
    (target,) = TargetReader().read([(*ROW[:3], models, *ROW[4:])])

    assert target == Target(
        1, "one", "http://one/v1", frozenset({"a", "b"}), "KEY", 2.0, 4, "enabled"
    )


@pytest.mark.parametrize(
    ("state", "takes_work", "models"),
    [("enabled", True, ["a", "b"]), ("draining", False, ["a", "b"]), ("disabled", False, [])],
)
def test_states(state: str, takes_work: bool, models: list[str]) -> None:
    found = TargetReader().read([(*ROW[:7], state, *ROW[8:])])

    assert found[0].takes_work is takes_work
    assert registry.model_names(found) == models


@pytest.mark.django_db
def test_a_model_stays_declared_while_nobody_serves_it() -> None:
    create("one", ["a"], state="disabled")
    create("two", ["b"], state="draining")
    group = create("group", ["c"])
    Endpoint.objects.filter(pk=group.pk).update(discover="dns")

    with kept(Memory()):
        known = [name for name in "abcd" if "chat" in registry.declared_apis(name)]

        assert known == ["a", "b", "c"]
        assert known_models() == ["b"]


@pytest.mark.django_db
def test_models_are_named_once_and_sorted() -> None:
    create("one", ["b", "a"])
    create("two", ["b", "c"])
    create("gone", ["z"], state="disabled")

    assert known_models() == ["a", "b", "c"]


@pytest.mark.django_db
def test_rows_are_read_once_in_a_while() -> None:
    now = 1000.0
    known = KnownEndpoints(clock=lambda: now)
    create("one", ["a"])

    with CaptureQueriesContext(connection) as queries:
        known.current()
        known.current()
        assert len(queries) == 1
        create("two", ["b"])
        assert registry.model_names(known.current()) == ["a"]

    now += 60.0
    assert registry.model_names(known.current()) == ["a", "b"]


@pytest.mark.django_db
def test_expired_rows_are_read_again() -> None:
    with kept(Memory()):
        assert known_models() == []
        create("one", ["a"])
        assert known_models() == []

        registry.expire()

        assert known_models() == ["a"]


@pytest.mark.django_db
def test_where_nobody_keeps_a_memory_rows_are_read_each_time() -> None:
    assert known_models() == []

    create("one", ["a"])

    assert known_models() == ["a"]


@pytest.mark.django_db
def test_the_default_model_is_the_oldest_usable_endpoints_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert default_model() == ""
    create("gone", ["a"], state="disabled")
    create("old", ["n", "m"])
    create("new", ["b"])

    assert default_model() == "m"

    configured = configuration().model_copy(update={"default_model": "mine"})
    monkeypatch.setattr(registry, "configuration", lambda: configured)
    assert default_model() == "mine"


def test_an_alias_is_the_upstreams_name_and_a_star_prices_the_rest() -> None:
    prices = {"*": {"input": 1}, "a": {"input": 2}}
    (target,) = TargetReader().read(
        [(*ROW[: -len(MEMBER)], "llm.local:8000", {"a": "a-q4"}, prices)]
    )

    assert (target.upstream_model("a"), target.upstream_model("b")) == ("a-q4", "b")
    assert target.server_hostname == "llm.local"
    assert target.price("a") == Price(input=2)
    assert target.price("b") == Price(input=1)


@pytest.mark.parametrize(
    ("kind", "listed", "served"),
    [
        ("openai", [], {"chat", "completion"}),
        ("openai", ["embedding"], {"embedding"}),
        ("anthropic", [], {"chat"}),
        ("gemini", [], {"chat"}),
        ("gemini", ["chat", "embedding"], {"chat", "embedding"}),
    ],
)
def test_the_apis_of_an_endpoint(kind: str, listed: list[str], served: set[str]) -> None:
    endpoint = Endpoint(name="e", base_url="http://e/v1", model_names=["m"], kind=kind, apis=listed)

    target = registry.target_of(endpoint)

    assert target.apis == served
    assert registry.apis_of("m", [target]) == served
    assert registry.apis_of("n", [target]) == set()


@pytest.mark.django_db
def test_a_chat_without_a_model_gets_one_that_chats() -> None:
    Endpoint.objects.create(
        name="v", base_url="http://v/v1", model_names=["a-vector"], apis=["embedding"]
    )
    create("old", ["m"])

    assert default_model() == "m"
    assert known_models("chat") == ["m"]
    assert known_models() == ["a-vector", "m"]
