"""The priority level of a request, and the reason it is given."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.priority.level_choice import (
    Asked,
    Choice,
    Standing,
    UnknownPriority,
    asked_level,
    choose,
)
from conversations.priority.rules import Condition, Rule, Subject, compiled, subject
from scheduling.models import Priority


@pytest.mark.parametrize(
    ("body", "header", "level"),
    [
        ({}, "", None),
        ({"priority": "high"}, "", Priority.HIGH),
        ({"priority": "LOW"}, "", Priority.LOW),
        ({}, "realtime", Priority.REALTIME),
        ({}, "Normal", Priority.NORMAL),
        ({"priority": "low"}, "high", Priority.LOW),
        ({"priority": None}, "high", Priority.HIGH),
        ({"service_tier": "priority"}, "", Priority.HIGH),
        ({"service_tier": "flex"}, "", Priority.LOW),
        ({"service_tier": "auto"}, "", None),
        ({"service_tier": "default"}, "", None),
        ({"service_tier": "scale"}, "", None),
        ({"service_tier": None}, "", None),
        ({"service_tier": "flex"}, "high", Priority.HIGH),
        ({"service_tier": " Flex "}, "", Priority.LOW),
        ({"priority": " high "}, "", Priority.HIGH),
        # Numbers are vLLM's, and an empty text is no level.
        ({"priority": 0}, "", None),
        ({"priority": -5}, "", None),
        ({"priority": 2.5}, "", None),
        ({"priority": "3"}, "", None),
        ({"priority": 1}, "high", Priority.HIGH),
        ({"priority": ""}, "low", Priority.LOW),
        ({}, " ", None),
        ({}, "1", None),
        # A18: tiers of other providers.
        *(
            ({"service_tier": tier}, "", None)
            for tier in ("on_demand", "performance", "fast", "standard_only", "gold", "")
        ),
    ],
)
def test_what_a_request_names(body: dict[str, Any], header: str, level: Priority | None) -> None:
    asked = asked_level(body, header)

    assert (asked.level if asked else None) == level


@pytest.mark.parametrize(
    ("body", "header", "by"),
    [
        ({"priority": "low"}, "high", "body priority"),
        ({}, "high", "header X-Priority"),
        ({"service_tier": "flex"}, "", "service_tier flex"),
    ],
)
def test_what_it_was_named_by(body: dict[str, Any], header: str, by: str) -> None:
    asked = asked_level(body, header)

    assert asked is not None
    assert asked.by == by


@pytest.mark.parametrize("value", ["urgent", True, False, [], {}, ["high"], "high\0", "1e"])
def test_a_priority_that_does_not_exist(value: Any) -> None:
    with pytest.raises(UnknownPriority) as caught:
        asked_level({"priority": value}, "")

    assert caught.value.field == "priority"
    assert "realtime, high, normal, low" in str(caught.value)


def test_the_header_is_named_when_it_is_wrong() -> None:
    with pytest.raises(UnknownPriority) as caught:
        asked_level({}, "urgent")

    assert caught.value.field == "X-Priority"


@pytest.mark.parametrize("tier", [1, [], {}, ["flex"], False])
def test_a_service_tier_that_is_no_text_names_no_level(tier: Any) -> None:
    """A18"""
    assert asked_level({"service_tier": tier}, "") is None


def test_a_long_value_is_not_repeated_at_length() -> None:
    with pytest.raises(UnknownPriority) as caught:
        asked_level({"priority": "x" * 10_000}, "")

    assert len(str(caught.value)) < 200


URGENT = Rule("urgent words", Priority.HIGH, None, compiled(Condition(kind="length", min_chars=0)))
ASKED = Asked(Priority.LOW, "header X-Priority")


def chosen(
    *,
    asked: Asked | None = None,
    rule: Rule | None = None,
    user: Priority | None = None,
    highest: Priority = Priority.REALTIME,
) -> Choice:
    return choose(
        asked,
        applying=[rule] if rule else [],
        about=lambda: subject("text"),
        standing=Standing(user, Priority.NORMAL, highest),
    )


def test_the_request_comes_before_the_rule_the_user_and_the_tenant() -> None:
    user = Priority.REALTIME

    assert chosen(asked=ASKED, rule=URGENT, user=user) == Choice(
        Priority.LOW, "asked: header X-Priority"
    )
    assert chosen(rule=URGENT, user=user) == Choice(Priority.HIGH, "rule: urgent words")
    assert chosen(user=user) == Choice(Priority.REALTIME, "user default")
    assert chosen() == Choice(Priority.NORMAL, "tenant default")


@pytest.mark.parametrize(
    ("asked", "highest", "granted"),
    [
        (None, Priority.REALTIME, Priority.NORMAL),
        (Priority.REALTIME, Priority.REALTIME, Priority.REALTIME),
        (Priority.REALTIME, Priority.HIGH, Priority.HIGH),
        (Priority.LOW, Priority.HIGH, Priority.LOW),
        (None, Priority.LOW, Priority.LOW),
    ],
)
def test_the_tenant_caps_what_is_asked(
    asked: Priority | None, highest: Priority, granted: Priority
) -> None:
    wish = Asked(asked, "body priority") if asked is not None else None

    assert chosen(asked=wish, highest=highest).level == granted


def test_a_cap_says_what_it_lowered() -> None:
    found = chosen(user=Priority.REALTIME, highest=Priority.HIGH)

    assert found == Choice(Priority.HIGH, "user default; capped from realtime by tenant")


def test_a_rule_is_capped_too() -> None:
    assert chosen(rule=URGENT, highest=Priority.LOW).level == Priority.LOW


def test_nothing_is_looked_at_when_nothing_can_match() -> None:
    def unread() -> Subject:
        raise AssertionError("the content was looked at")

    standing = Standing(None, Priority.NORMAL, Priority.REALTIME)

    assert choose(None, applying=[], about=unread, standing=standing).reason == "tenant default"
    assert choose(ASKED, applying=[URGENT], about=unread, standing=standing).level == Priority.LOW


levels = st.sampled_from(Priority)


@given(st.none() | levels, st.booleans(), st.none() | levels, levels)
def test_no_request_is_above_its_tenants_highest(
    asked: Priority | None, rule: bool, user: Priority | None, highest: Priority
) -> None:
    longest = Rule("n" * 100, Priority.REALTIME, None, URGENT.matches)

    found = chosen(
        asked=Asked(asked, "body priority") if asked is not None else None,
        rule=longest if rule else None,
        user=user,
        highest=highest,
    )

    assert found.level >= highest
    assert 0 < len(found.reason) <= 200
