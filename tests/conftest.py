"""Fixtures of all tests."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from llmqueue_project.embedded.services import Services
from tests.hot_path import database, valkey  # noqa: F401 - fixtures
from tests.real_services import SERVICES

# Two cores are shared with other processes: a slow example is no failure. CI tries the same
# examples each time, so that a change is judged by what it changed; people find new ones.
settings.register_profile("unhurried", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def services() -> Services:
    """The run's PostgreSQL and Valkey. Whoever stops one starts it again."""
    return SERVICES
