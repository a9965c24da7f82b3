"""The settings with no database behind them, for checks that only read the models."""

from llmqueue_project.settings import *  # noqa: F403

DATABASES = {"default": {"ENGINE": "django.db.backends.dummy"}}
