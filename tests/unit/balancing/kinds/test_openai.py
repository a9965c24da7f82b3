"""Azure OpenAI: other paths and another header, the same bodies."""

from __future__ import annotations

from typing import Any

import pytest

from balancing.endpoints.access import Access
from balancing.endpoints.target import Target
from balancing.kinds import KINDS
from tests.unit.balancing.kinds.exchange import answered, exchange, sse

AZURE = Access(kind="azure_openai")
DATED = Access(kind="azure_openai", api_version="2024-10-21")
WHOLE: dict[str, Any] = {
    "id": "chatcmpl-1",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "hi"},
            "finish_reason": "stop",
            "content_filter_results": {"hate": {"filtered": False}},
        }
    ],
}


@pytest.mark.parametrize("base", ["", "/", "/openai", "/openai/v1", "/openai/v1/"])
async def test_the_v1_api(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_TEST_KEY", "secret")

    seen = await exchange(AZURE, answered(WHOLE), path=base.rstrip("/"))

    assert seen.path == "/openai/v1/chat/completions"
    assert seen.headers["api-key"] == "secret"
    assert "authorization" not in seen.headers
    assert seen.sent["model"] == "m"


@pytest.mark.parametrize(
    ("api", "fields", "path"),
    [
        ("chat", {}, "chat/completions"),
        ("completion", {"prompt": "x"}, "completions"),
        ("embedding", {"input": "x"}, "embeddings"),
    ],
)
async def test_a_dated_version_names_the_deployment(api: str, fields: Any, path: str) -> None:
    answer = {"data": [{"index": 0, "embedding": [0.5]}]} if api == "embedding" else WHOLE

    seen = await exchange(DATED, answered(answer), api=api, path="", model="my gpt", **fields)

    assert seen.path == f"/openai/deployments/my%20gpt/{path}?api-version=2024-10-21"


async def test_answers_pass_as_they_are() -> None:
    seen = await exchange(AZURE, answered(WHOLE))

    assert seen.body["choices"] == WHOLE["choices"]


async def test_a_stream_that_begins_with_filter_results() -> None:
    events = (
        {"choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
        {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    )

    seen = await exchange(AZURE, sse(*events), stream=True)

    assert seen.answer.text == "hi"
    assert seen.chunks[0]["prompt_filter_results"] == [{"prompt_index": 0}]


async def test_floats_where_base64_was_asked_for() -> None:
    """A27: passed on (SDKs read both), and counted."""
    vectors = {
        "object": "list",
        "model": "m",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}],
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }

    seen = await exchange(
        Access(),
        answered(vectors),
        api="embedding",
        input=[[2028, 374]],
        encoding_format="base64",
    )

    assert seen.sent["input"] == [[2028, 374]]
    assert seen.sent["encoding_format"] == "base64"
    assert seen.body["data"] == vectors["data"]
    assert seen.answer.prompt_tokens == 3


async def test_a_filtered_stream_as_azure_sends_it() -> None:
    """G13: no model and no choices at first, chunks without a delta late, a filter at the end."""
    head = {"object": "chat.completion.chunk", "model": "gpt-4o-2024", "created": 1700000000}
    events = (
        {
            **head,
            "created": 0,
            "model": "",
            "object": "",
            "choices": [],
            "prompt_filter_results": [{"prompt_index": 0}],
            "usage": None,
        },
        {**head, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
        {**head, "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}]},
        {
            **head,
            "choices": [
                {"index": 0, "finish_reason": None, "content_filter_offsets": {"check_offset": 1}}
            ],
        },
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "content_filter"}]},
    )

    seen = await exchange(AZURE, sse(*events), stream=True)

    assert len(seen.chunks) == len(events)
    assert seen.body["object"] == "chat.completion"
    assert seen.message["content"] == "hi"
    assert seen.body["choices"][0]["finish_reason"] == "content_filter"


@pytest.mark.parametrize(
    ("access", "url"),
    [
        (Access(), "http://h/v1/models"),
        (AZURE, "http://h/openai/v1/models"),
        (DATED, "http://h/openai/models?api-version=2024-10-21"),
        (Access(kind="anthropic"), "http://h/v1/models?limit=1000"),
        (Access(kind="gemini"), "http://h/v1/models?pageSize=1000"),
    ],
)
def test_where_models_are_listed(access: Access, url: str) -> None:
    target = Target(1, "e", "http://h/v1", frozenset(["m"]), "", 1.0, 8, "enabled", access=access)

    assert KINDS[access.kind].listing(target, "").url == url
