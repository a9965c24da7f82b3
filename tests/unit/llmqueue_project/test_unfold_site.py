from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.utils.module_loading import import_string

from llmqueue_project.unfold_site import UNFOLD

ITEMS: list[dict[str, Any]] = [
    item for group in UNFOLD["SIDEBAR"]["navigation"] for item in group["items"]
]


def request(*permissions: str) -> Any:
    return SimpleNamespace(user=SimpleNamespace(has_perm=lambda name: name in permissions))


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item["title"])
def test_every_link_of_the_sidebar_leads_somewhere(item: dict[str, Any]) -> None:
    link = item["link"](request()) if callable(item["link"]) else str(item["link"])

    assert link.startswith("/")


def test_a_page_is_shown_to_those_who_may_see_it() -> None:
    guarded = {item["title"]: item["permission"] for item in ITEMS if "permission" in item}

    shown = {title for title, permitted in guarded.items() if permitted(request("auth.view_group"))}

    assert shown == {"Groups"}
    assert {item["title"] for item in ITEMS} - guarded.keys() == {
        "Now",
        "Flower",
        "API documentation",
    }


def test_the_first_page_has_a_callback() -> None:
    assert callable(import_string(UNFOLD["DASHBOARD_CALLBACK"]))
