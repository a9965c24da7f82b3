"""WSGI entry point for the REST API and admin alone; streams need `asgi.py`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmqueue_project.settings")
application = get_wsgi_application()
