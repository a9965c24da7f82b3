"""The OpenAI Python SDK, unmodified, with nothing but a base URL and a key."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.client import KEY
from tests.stack import Stack

ASK: list[Any] = [{"role": "user", "content": "say something [[tokens=12]]"}]


@pytest.fixture
def client(stack: Stack) -> OpenAI:
    return OpenAI(base_url=f"{stack.url}/v1", api_key=KEY, max_retries=0, timeout=30)


def test_answers_whole(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="fake-model", messages=ASK)

    assert answer.id.startswith("chatcmpl-")
    assert len((answer.choices[0].message.content or "").split()) == 12
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 12


def test_streams(client: OpenAI) -> None:
    chunks: list[Any] = list(
        client.chat.completions.create(model="fake-model", messages=ASK, stream=True)
    )

    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert len(text.split()) == 12
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)


def test_streams_usage_when_asked(client: OpenAI) -> None:
    chunks: list[Any] = list(
        client.chat.completions.create(
            model="fake-model", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
    )

    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 12


def test_lists_models(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["fake-model"]
    assert client.models.retrieve("fake-model").id == "fake-model"


def test_service_tier_is_a_priority(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="fake-model",
        messages=ASK,
        service_tier="flex",
    )

    assert raw.headers["x-llmqueue-priority"] == "low"


def test_errors_are_the_sdks_own(client: OpenAI, stack: Stack) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="no-such-model", messages=ASK)
    assert unknown.value.code == "model_not_found"

    stranger = OpenAI(base_url=f"{stack.url}/v1", api_key="wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        stranger.models.list()

    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            model="fake-model",
            messages=[{"role": "user", "content": "no [[status=400]]"}],
        )
    assert refused.value.type
