"""llmqueue: settings and entry points of the project."""

from llmqueue_project.celery import app as celery_app

__all__ = ("celery_app",)
