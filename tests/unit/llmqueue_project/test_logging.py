"""A traceback in the logs names places, never values."""

from __future__ import annotations

import json
import logging
import sys

from llmqueue_project import logging as llmqueue_logging
from llmqueue_project.config import configuration


def test_local_variables_are_not_logged(capsys: object) -> None:
    import structlog

    before = structlog.get_config()
    llmqueue_logging.configure(format="json", level="INFO")
    formatter = logging.getLogger().handlers[0].formatter
    assert formatter is not None

    try:
        password = "hunter2-" + "x"
        raise ValueError(len(password))
    except ValueError:
        record = logging.LogRecord("a", 40, "f", 1, "failed", None, sys.exc_info())
    line = formatter.format(record)

    llmqueue_logging.configure(format=configuration().log_format, level=configuration().log_level)
    # The very same: loggers that are in use already keep its list of processors.
    structlog.configure(**before)
    assert "hunter2" not in line
    assert json.loads(line)["exception"][0]["exc_type"] == "ValueError"
