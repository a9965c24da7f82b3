"""Rows that were not stored through this project, as operators see and mend them by REST."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from balancing.endpoints import registry
from balancing.models import Endpoint, ModelPool
from conversations.models import Operator, PriorityRule
from tests.integration.rest.conftest import Api
from tests.unreadable_rows import WRONG, bad_row

pytestmark = pytest.mark.integration

GOOD: dict[str, Any] = {
    "models": ["m"],
    "kind": "openai",
    "weight": 1,
    "apis": [],
    "base_url": "http://e/v1",
    "proxy_url": "",
    "connect_timeout": None,
}


@pytest.mark.parametrize(("column", "value"), WRONG)
def test_an_endpoint_is_listed_and_mended(operator: Api, column: str, value: Any) -> None:
    row = bad_row(column, value)
    field = "models" if column == "model_names" else column

    for path in ("/endpoints", "/endpoints/stats", "/resources"):
        assert len(operator.get(path).data["items"]) == 2
    stats = operator.get("/resources/stats").data
    assert [each["model"] for each in stats["models"]] == ["other", "tiny"]

    operator.patch(f"/endpoints/{row.pk}", {"max_concurrent": 2}).refused(400, 1014, field)
    mended = operator.patch(f"/endpoints/{row.pk}", {field: GOOD.get(field, {})})
    assert mended.status == 200, mended.body
    assert registry.unreadable(Endpoint.objects.get(pk=row.pk)) == ""


def test_messages_are_taken_beside_them(operator: Api) -> None:
    for number, (column, value) in enumerate(WRONG):
        bad_row(column, value, name=f"bad-{number}")

    assert operator.send("hello")["model"] == "other"


def test_a_pool_and_a_rule_are_shown_as_they_are(operator: Api) -> None:
    staff = Client()
    staff.force_login(Operator.objects.create_superuser("ann", password="x"))
    ModelPool.objects.create(pattern="m", profile="no_such", fallback_models=5)
    PriorityRule.objects.create(name="odd", kind="keyword", words="hello", level=99)

    (pool,) = operator.get("/model-pools").data["items"]
    (rule,) = operator.get("/admin/preprocessor/rules").data["items"]

    assert (pool["fallback_models"], rule["priority"]) == (5, "99")
    for name in ("balancing_modelpool", "conversations_priorityrule"):
        assert staff.get(reverse(f"admin:{name}_changelist")).status_code == 200


def test_a_rule_whose_level_does_not_exist_is_left_out(operator: Api) -> None:
    PriorityRule.objects.create(name="odd", kind="keyword", words="hello", level=99)

    assert operator.send("hello")["priority_reason"] == "tenant default"
