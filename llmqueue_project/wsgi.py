"""WSGI entry point for the REST API and admin alone; streams need `asgi.py`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.core.wsgi import get_wsgi_application

from stores.memory import Memory, kept

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmqueue_project.settings")
django_application = get_wsgi_application()
memory = Memory()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    with kept(memory):
        return django_application(environ, start_response)
