"""The Celery application: `celery -A llmqueue_project worker -Q realtime,high`."""

import os
from typing import Any

from celery import Celery
from kombu import Exchange, Queue
from kombu.transport import TRANSPORT_ALIASES

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


@app.on_after_configure.connect
def _name_broker(sender: Any, **kwargs: object) -> None:
    """Set the URL under Celery's own name: `inspect conf` and Flower mask that one."""
    sender.conf["broker_url"] = configuration().redis_url.get_secret_value()


@app.on_after_configure.connect
def _add_engine(sender: Celery, **kwargs: object) -> None:
    sender.steps["worker"].add("scheduling.worker.step:EngineStep")
