"""One running stack for the acceptance tests, and the endpoint it calls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llmqueue_project.embedded.services import Services
from tests.fake_llm import running_fake_llm
from tests.stack import Stack, running_stack


@pytest.fixture(scope="session")
def fake() -> Iterator[object]:
    with running_fake_llm(tokens=8) as llm:
        yield llm


@pytest.fixture(scope="module", params=["task", "direct"])
def stack(request: pytest.FixtureRequest, services: Services, fake: object) -> Iterator[Stack]:
    with running_stack(services, gear=request.param) as running:
        running.register("fake", fake.base_url, max_concurrent=8)  # type: ignore[attr-defined]
        yield running
