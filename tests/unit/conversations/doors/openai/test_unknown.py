"""What programs and browsers get at a path that nobody serves."""

from __future__ import annotations

import orjson
import pytest
from django.http import Http404
from django.test import RequestFactory

from conversations.doors.openai import unknown


@pytest.mark.parametrize("path", ["/api/chat", "/v2/models", "/nothing"])
def test_programs_get_an_error_object_that_names_the_path(path: str) -> None:
    answer = unknown.path(RequestFactory().post(path), Http404())

    assert (answer.status_code, answer["content-type"]) == (404, "application/json")
    error = orjson.loads(answer.content)["error"]
    assert (error["code"], error["type"]) == ("unknown_url", "invalid_request_error")
    assert f"POST {path}" in error["message"]
    assert "/v1" in error["message"]


def test_browsers_get_a_page() -> None:
    request = RequestFactory().get("/nothing", headers={"accept": "text/html,*/*"})

    answer = unknown.path(request, Http404())

    assert answer["content-type"].startswith("text/html")


def test_a_program_that_posts_to_a_page_for_people_gets_an_error_object() -> None:
    """A20: a base URL that is only the host."""
    answer = unknown.form(RequestFactory().post("/"))
    page = unknown.form(RequestFactory().post("/", headers={"accept": "text/html"}))

    assert (answer.status_code, answer["content-type"]) == (403, "application/json")
    assert "/v1" in orjson.loads(answer.content)["error"]["message"]
    assert (page.status_code, page["content-type"].split(";")[0]) == (403, "text/html")
