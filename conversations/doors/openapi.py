"""How does the OpenAPI document come about? Django's views, the lean application's paths, keys."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from rest_framework.renderers import BaseRenderer

from conversations.doors.lean.openapi import SCHEME, health_paths
from conversations.doors.openai import openapi as openai
from conversations.doors.rest.openapi import event_stream


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # untyped
    target_class = "conversations.doors.rest.protocol.authentication.ApiKeyAuthentication"
    name = SCHEME

    def get_security_definition(self, _auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key. `X-API-Key: <key>` is accepted too.",
        }


def close_requests(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Say that requests take no unknown fields; a postprocessing hook of drf-spectacular."""
    for name, shape in result["components"]["schemas"].items():
        if name.endswith("Request") and "properties" in shape:
            shape["additionalProperties"] = False
    return result


def add_lean_paths(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the lean application's paths; a postprocessing hook of drf-spectacular."""
    result["paths"] |= openai.paths() | event_stream.paths() | health_paths()
    result["security"] = [{SCHEME: []}]
    return result


def add_summaries(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Give each operation a line for lists; a postprocessing hook of drf-spectacular."""
    for path in result["paths"].values():
        for operation in path.values():
            words = operation["operationId"].replace("_", " ")
            operation.setdefault("summary", words[:1].upper() + words[1:])
    return result


@cache
def _document() -> dict[str, Any]:
    """The document, which depends on the code alone."""
    generator: Any = SchemaGenerator
    found: dict[str, Any] = generator().get_schema(request=None, public=True)
    return found


@cache
def _rendered(renderer: type[BaseRenderer]) -> bytes:
    text = renderer().render(_document(), renderer_context={})
    return text.encode() if isinstance(text, str) else text


@csrf_exempt  # so that what it refuses is told by the method, not by a page about cookies
@require_safe
def view(request: HttpRequest) -> HttpResponse:
    """The document as YAML, or as JSON if asked for; built once a process."""
    accepted = request.headers.get("Accept", "")
    wanted = request.GET.get("format", "json" if "json" in accepted else "yaml")
    renderer = OpenApiJsonRenderer if wanted == "json" else OpenApiYamlRenderer
    return HttpResponse(_rendered(renderer), content_type=renderer.media_type)
