"""The Celery application: `celery -A llmqueue_project worker -Q realtime,high`."""

import logging
import os
from typing import Any

import click
from celery import Celery
from celery.signals import setup_logging
from click.core import ParameterSource
from kombu import Exchange, Queue
from kombu.transport import TRANSPORT_ALIASES

from llmqueue_project import logging as llmqueue_logging
from llmqueue_project.config import configuration
from scheduling.levels import LEVELS

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmqueue_project.settings")

QUEUES = (*LEVELS, "housekeeping")

# Flower recognises a broker by these names, which are those of the URL schemes.
for scheme in ("redis", "rediss"):
    TRANSPORT_ALIASES[scheme] = "scheduling.tickets.transport:Transport"

app = Celery("llmqueue")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_queues = [
    Queue(name, Exchange("", type="direct"), routing_key=name) for name in QUEUES
]
app.autodiscover_tasks()


@setup_logging.connect
def _keep_logging(loglevel: int, **kwargs: object) -> None:
    """Log as every other process does: without a receiver Celery sets the root logger's level."""
    level = logging.getLevelName(loglevel) if _is_level_given() else configuration().log_level
    llmqueue_logging.configure(format=configuration().log_format, level=level)


def _is_level_given() -> bool:
    """Whether the operator said `--loglevel`; otherwise Celery hands on its default, WARNING."""
    command = click.get_current_context(silent=True)
    source = command.get_parameter_source("loglevel") if command else None
    return source in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)


@app.on_after_configure.connect
def _name_broker(sender: Any, **kwargs: object) -> None:
    """Set the URL under Celery's own name: `inspect conf` and Flower mask that one."""
    sender.conf["broker_url"] = configuration().redis_url.get_secret_value()


@app.on_after_configure.connect
def _add_engine(sender: Celery, **kwargs: object) -> None:
    sender.steps["worker"].add("scheduling.worker.bootstep:EngineStep")
