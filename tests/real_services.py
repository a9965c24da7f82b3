"""pytest plugin: a real PostgreSQL and a real Valkey for the whole run, started before Django."""

from __future__ import annotations

import atexit
import os

from llmqueue_project.embedded.services import Services

SERVICES = Services(durable=False, postgres_settings={"max_connections": "200"}).start()
atexit.register(SERVICES.stop)
os.environ.update(SERVICES.environment)
for name in ("LLM_BASE_URL", "LLM_API_KEY", "LLM_MODEL", "LLMQUEUE_CONFIG"):
    os.environ.pop(name, None)
