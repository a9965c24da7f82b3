"""What is answered to a path that nobody serves? Programs get an error object, browsers a page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.csrf import csrf_failure
from django.views.defaults import page_not_found

from conversations.doors.lean.refusals import Refusal
from conversations.doors.openai.errors import OpenAIErrors

HINT = "the OpenAI API is below /v1, the REST API below /api/v1"


def path(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's `handler404`."""
    if _is_browser(request):
        return page_not_found(request, exception)
    return _refused(404, f"unknown path: {request.method} {request.path}: {HINT}")


def form(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's `CSRF_FAILURE_VIEW`: what a program posts where there are only pages for people."""
    if _is_browser(request):
        return csrf_failure(request, reason)
    return _refused(403, f"{request.path} takes its own forms only: {HINT}")


def _is_browser(request: HttpRequest) -> bool:
    return "text/html" in request.headers.get("Accept", "")


def _refused(status: int, message: str) -> HttpResponse:
    refusal = Refusal(status, "unknown_url", message)
    body = OpenAIErrors().body(refusal)
    return HttpResponse(
        body, status=status, content_type="application/json", headers=dict(refusal.headers)
    )
