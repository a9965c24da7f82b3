"""Endpoints and models that come and go under a running stack, and what their answers cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmqueue_project.embedded.services import Services
from tests.eventually import eventually
from tests.fake_llm import running_fake_llm
from tests.stack import Stack, running_stack

FILE = """
endpoints:
  - name: pool
    base_url: http://localhost:{port}/v1
    discover: dns
    discover_models: true
    model_aliases: {{quick: small}}
    prices: {{"*": {{input: 1000, output: 2000}}}}
"""


@pytest.fixture
def llm() -> Iterator[Any]:
    with running_fake_llm(tokens=4, models=("small",)) as running:
        yield running


@pytest.fixture
def stack(services: Services, llm: Any, tmp_path: Path) -> Iterator[Stack]:
    path = tmp_path / "endpoints.yaml"
    path.write_text(FILE.format(port=llm.port))
    quick = {
        "LLMQUEUE_ENDPOINTS_FILE": str(path),
        "LLMQUEUE_DISCOVERY__MODELS_SECONDS": "0.5",
        "LLMQUEUE_DISCOVERY__DNS_ADDRESSES": "ipv4",
    }
    with running_stack(services, environment=quick) as running:
        yield running


def models(stack: Stack) -> list[str]:
    return [model["id"] for model in stack.call("GET", "/v1/models").body["data"]]


def test_models_come_and_go_and_their_tokens_are_paid_for(stack: Stack, llm: Any) -> None:
    eventually(lambda: models(stack) == ["quick", "small"], what="the first list")

    answer = stack.chat("hello", model="quick")

    assert answer.status == 200
    assert answer.body["model"] == "quick"
    used = answer.body["usage"]
    expected = (used["prompt_tokens"] + 2 * used["completion_tokens"]) / 1000
    data = stack.call("GET", "/api/v1/usage?group_by=model").body["data"]
    assert [(row["model"], row["requests"]) for row in data["items"]] == [("quick", 1)]
    assert data["total"]["cost"] == expected

    llm.control(models=("large",))

    eventually(lambda: models(stack) == ["large"], what="the second list")
    assert stack.chat("hello", model="large").status == 200
    assert stack.chat("hello", model="quick").status == 404
