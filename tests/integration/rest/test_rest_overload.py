"""A database that is well, while every connection of this process is in use."""

from __future__ import annotations

from threading import Thread

import pytest
from django.db import OperationalError
from django.db.utils import ConnectionHandler

from conversations.doors.rest.protocol.errors import translate
from conversations.doors.rest.protocol.refusals import Code
from llmqueue_project.config import configuration
from llmqueue_project.settings import database

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


def test_a_full_pool_is_overload() -> None:
    settings = database(configuration().database_url.get_secret_value(), 1)
    settings["OPTIONS"]["pool"]["timeout"] = 0.1
    handler = ConnectionHandler({"default": {}, "full": settings})
    codes = []

    def second() -> None:
        try:
            handler["full"].ensure_connection()
        except OperationalError as error:
            codes.append(translate(error).code)

    handler["full"].ensure_connection()
    try:
        thread = Thread(target=second)
        thread.start()
        thread.join()
    finally:
        handler["full"].close()
        handler["full"].close_pool()  # type: ignore[attr-defined]  # PostgreSQL's has one

    assert codes == [Code.OVERLOADED]
