"""The client of calls, and an endpoint that answers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from balancing.calls.client import Client
from tests.fake_llm import FakeLLM


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made = Client()
    yield made
    await made.close()


@pytest.fixture
async def llm() -> AsyncIterator[FakeLLM]:
    async with FakeLLM(tokens=4) as endpoint:
        yield endpoint
