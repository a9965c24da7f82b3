"""URLs served by Django; `/v1` and the event streams are served beside it (`asgi.py`)."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularSwaggerView

from conversations.doors import openapi
from llmqueue_project import flower

admin.site.index_template = "scheduling/dashboard.html"

handler404 = "conversations.doors.openai.unknown.path"
# Its only renderer is a template, which its answers to other methods have not.
docs = SpectacularSwaggerView.as_view(url_name="schema", http_method_names=["get", "head"])

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="docs")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("conversations.doors.rest.urls")),
    path("api/schema/", openapi.view, name="schema"),
    path("api/docs/", docs, name="docs"),
    path("flower", RedirectView.as_view(url="/flower/")),
    path("flower/", flower.proxy, {"path": ""}, name="flower"),
    path("flower/<path:path>", flower.proxy),
]

if find_spec("llmqueue_project.metrics"):
    urlpatterns.append(path("metrics", import_module("llmqueue_project.metrics").view))
