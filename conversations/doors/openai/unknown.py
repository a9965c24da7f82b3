"""What is answered to a path that nobody serves? Programs get an error object, browsers a page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.defaults import page_not_found

from conversations.doors.lean.refusals import Refusal
from conversations.doors.openai.errors import OpenAIErrors


def path(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's `handler404`."""
    if "text/html" in request.headers.get("Accept", ""):
        return page_not_found(request, exception)
    hint = "the OpenAI API is below /v1, the REST API below /api/v1"
    message = f"unknown path: {request.method} {request.path}: {hint}"
    refusal = Refusal(404, "unknown_url", message)
    body = OpenAIErrors().body(refusal)
    return HttpResponse(
        body, status=404, content_type="application/json", headers=dict(refusal.headers)
    )
