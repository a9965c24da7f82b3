"""Anthropic's Messages API, by the shapes of its public reference."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from balancing.endpoints.access import Access
from balancing.errors import Broken, Refused, Unavailable
from tests.unit.balancing.kinds.exchange import answered, asked, exchange, failing, sse

ANTHROPIC = Access(kind="anthropic")
PIXEL = "iVBORw0KGgo="
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def message(*content: Any, stop_reason: str = "end_turn", **usage: int) -> dict[str, Any]:
    return {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": list(content),
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 3, **usage},
    }


HI = message({"type": "text", "text": "Hi"})
START = {
    "type": "message_start",
    "message": {
        **message(),
        "stop_reason": None,
        "usage": {
            "input_tokens": 9,
            "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 10,
            "output_tokens": 1,
        },
    },
}
STOP = {"type": "message_stop"}


def begins(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": fields}


def ends(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def finish(reason: str, tokens: int = 5) -> dict[str, Any]:
    told = {"stop_reason": reason, "stop_sequence": None}
    return {"type": "message_delta", "delta": told, "usage": {"output_tokens": tokens}}


TEXT_STREAM = (
    START,
    begins(0, type="text", text=""),
    {"type": "ping"},
    delta(0, type="text_delta", text="Hel"),
    delta(0, type="text_delta", text="lo"),
    ends(0),
    finish("end_turn"),
    STOP,
)


class TestRequest:
    async def test_the_least(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LLM_TEST_KEY", "sk-ant-1")

        seen = await exchange(ANTHROPIC, answered(HI))

        assert seen.path == "/v1/messages"
        assert seen.headers["x-api-key"] == "sk-ant-1"
        assert seen.headers["anthropic-version"] == "2023-06-01"
        assert "authorization" not in seen.headers
        assert seen.sent == {
            "model": "m",
            "max_tokens": 8192,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
        }

    async def test_the_version_is_the_endpoints(self) -> None:
        seen = await exchange(Access(kind="anthropic", api_version="2027-01-01"), answered(HI))

        assert seen.headers["anthropic-version"] == "2027-01-01"

    async def test_sampling(self) -> None:
        sent = await asked(
            ANTHROPIC,
            answered(HI),
            max_completion_tokens=50,
            temperature=1.7,
            top_p=0.5,
            top_k=3,
            stop="END",
            user="u1",
            seed=1,
            presence_penalty=0.5,
        )

        assert {name: sent[name] for name in sent.keys() - {"model", "messages"}} == {
            "max_tokens": 50,
            "temperature": 1.0,
            "top_p": 0.5,
            "top_k": 3,
            "stop_sequences": ["END"],
            "metadata": {"user_id": "u1"},
        }

    async def test_system_messages_are_gathered(self) -> None:
        sent = await asked(
            ANTHROPIC,
            answered(HI),
            messages=[
                {"role": "system", "content": "One."},
                {"role": "user", "content": "hi"},
                {"role": "developer", "content": [{"type": "text", "text": "Two."}]},
            ],
        )

        assert [block["text"] for block in sent["system"]] == ["One.", "Two."]
        assert [turn["role"] for turn in sent["messages"]] == ["user"]

    async def test_images_and_documents(self) -> None:
        sent = await asked(
            ANTHROPIC,
            answered(HI),
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}},
                        {
                            "type": "image_url",
                            "image_url": {"url": f"data:image/png;base64,{PIXEL}", "detail": "low"},
                        },
                        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                        {
                            "type": "file",
                            "file": {"file_data": f"data:application/pdf;base64,{PIXEL}"},
                        },
                    ],
                }
            ],
        )

        source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
        assert sent["messages"][0]["content"] == [
            {"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}},
            {"type": "image", "source": source},
            {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
            {"type": "document", "source": {**source, "media_type": "application/pdf"}},
        ]

    async def test_tools_and_their_results(self) -> None:
        calls = [
            {
                "id": f"toolu_{n}",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city":"Rome"}'},
            }
            for n in (1, 2)
        ]
        sent = await asked(
            ANTHROPIC,
            answered(HI),
            tools=[WEATHER],
            tool_choice="required",
            parallel_tool_calls=False,
            messages=[
                {"role": "user", "content": "weather?"},
                {"role": "assistant", "content": None, "tool_calls": calls},
                {"role": "tool", "tool_call_id": "toolu_1", "content": "sun"},
                {"role": "tool", "tool_call_id": "toolu_2", "content": "rain"},
                {"role": "user", "content": "so?"},
            ],
        )

        assert sent["tools"] == [
            {
                "name": "get_weather",
                "description": "Weather of a city",
                "input_schema": WEATHER["function"]["parameters"],  # type: ignore[index]
            }
        ]
        assert sent["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
        _, assistant, user = sent["messages"]
        assert assistant["content"][0] == {
            "type": "tool_use",
            "id": "toolu_1",
            "name": "get_weather",
            "input": {"city": "Rome"},
        }
        assert [block["type"] for block in user["content"]] == [
            "tool_result",
            "tool_result",
            "text",
        ]
        assert user["content"][1]["content"] == [{"type": "text", "text": "rain"}]

    @pytest.mark.parametrize(
        ("choice", "expected"),
        [
            ("auto", {"type": "auto"}),
            ("none", {"type": "none"}),
            (
                {"type": "function", "function": {"name": "get_weather"}},
                {"type": "tool", "name": "get_weather"},
            ),
        ],
    )
    async def test_tool_choice(self, choice: Any, expected: Any) -> None:
        sent = await asked(ANTHROPIC, answered(HI), tools=[WEATHER], tool_choice=choice)

        assert sent["tool_choice"] == expected

    async def test_a_json_schema(self) -> None:
        schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
        wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}

        sent = await asked(ANTHROPIC, answered(HI), response_format=wanted)

        closed = {**schema, "additionalProperties": False}
        assert sent["output_config"] == {"format": {"type": "json_schema", "schema": closed}}

    @pytest.mark.parametrize(
        "fields",
        [
            {"n": 2},
            {"logprobs": True},
            {"response_format": {"type": "json_object"}},
            {"functions": [{"name": "f"}]},
            {"tools": [{"type": "web_search"}]},
            {"tools": [WEATHER], "tool_choice": "sometimes"},
            {"tools": "all"},
            {"stop": 5},
            {"messages": [{"role": "oracle", "content": "x"}]},
            {"messages": [{"role": "user", "content": [{"type": "video"}]}]},
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "file:///etc/x"}}],
                    }
                ]
            },
        ],
    )
    async def test_what_it_cannot_do_is_refused_before_it_is_sent(self, fields: Any) -> None:
        error = await failing(ANTHROPIC, b"", **fields)

        assert isinstance(error, Refused)
        assert error.status == 400
        assert orjson.loads(error.body)["error"]["type"] == "invalid_request_error"


class TestWhole:
    async def test_text_usage_and_identity(self) -> None:
        seen = await exchange(ANTHROPIC, answered(HI))

        assert seen.body["object"] == "chat.completion"
        assert seen.body["id"].startswith("chatcmpl-")
        assert seen.body["model"] == "claude-x"
        assert seen.message == {"role": "assistant", "content": "Hi"}
        assert seen.body["choices"][0]["finish_reason"] == "stop"
        assert (seen.answer.prompt_tokens, seen.answer.completion_tokens) == (9, 3)
        assert seen.answer.text == "Hi"

    async def test_thoughts_and_tool_calls(self) -> None:
        thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
        whole = message(
            thought,
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Rome"}},
            {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}},
            stop_reason="tool_use",
        )

        seen = await exchange(ANTHROPIC, answered(whole))

        assert seen.message["reasoning_content"] == "hm"
        assert seen.message["content"] == "Let me see."
        assert seen.message["tool_calls"] == [
            {
                "id": "toolu_1",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city":"Rome"}'},
                "extra_content": {"anthropic": {"thinking_blocks": [thought]}},
            },
            {"id": "toolu_2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
        ]
        assert seen.body["choices"][0]["finish_reason"] == "tool_calls"

    @pytest.mark.parametrize(
        ("reason", "finish_reason"),
        [
            ("max_tokens", "length"),
            ("model_context_window_exceeded", "length"),
            ("refusal", "content_filter"),
            ("stop_sequence", "stop"),
            ("something_new", "stop"),
        ],
    )
    async def test_finish_reasons(self, reason: str, finish_reason: str) -> None:
        seen = await exchange(ANTHROPIC, answered(message(stop_reason=reason)))

        assert seen.body["choices"][0]["finish_reason"] == finish_reason

    @pytest.mark.parametrize("body", [{}, {"content": []}, {"content": "x", "model": "m"}])
    async def test_an_unknown_shape(self, body: Any) -> None:
        error = await failing(ANTHROPIC, answered(body))

        assert isinstance(error, Broken)


class TestStream:
    async def test_text(self) -> None:
        seen = await exchange(ANTHROPIC, sse(*TEXT_STREAM), stream=True)

        assert seen.sent["stream"] is True
        assert "stream_options" not in seen.sent
        assert seen.deltas == [
            {"role": "assistant", "content": ""},
            {"content": "Hel"},
            {"content": "lo"},
            {},
        ]
        assert {chunk["object"] for chunk in seen.chunks} == {"chat.completion.chunk"}
        assert len({chunk["id"] for chunk in seen.chunks}) == 1
        assert seen.chunks[-2]["choices"][0]["finish_reason"] == "stop"
        assert seen.chunks[-1]["choices"] == []
        assert seen.chunks[-1]["usage"] == {
            "prompt_tokens": 119,
            "completion_tokens": 5,
            "total_tokens": 124,
            "prompt_tokens_details": {"cached_tokens": 100},
        }
        assert seen.answer.text == "Hello"
        assert (seen.answer.prompt_tokens, seen.answer.completion_tokens) == (119, 5)

    async def test_tool_calls(self) -> None:
        events = (
            START,
            begins(0, type="thinking", thinking="", signature=""),
            delta(0, type="thinking_delta", thinking="which?"),
            delta(0, type="signature_delta", signature="abc"),
            ends(0),
            begins(1, type="tool_use", id="toolu_1", name="get_weather", input={}),
            delta(1, type="input_json_delta", partial_json=""),
            delta(1, type="input_json_delta", partial_json='{"city":'),
            delta(1, type="input_json_delta", partial_json='"Rome"}'),
            ends(1),
            begins(2, type="tool_use", id="toolu_2", name="now", input={}),
            ends(2),
            finish("tool_use"),
            STOP,
        )

        seen = await exchange(ANTHROPIC, sse(*events), stream=True, tools=[WEATHER])

        parts = [call for delta in seen.deltas for call in delta.get("tool_calls", ())]
        assert [part["index"] for part in parts] == [0, 0, 0, 1, 1]
        assert (parts[0]["id"], parts[0]["function"]["name"]) == ("toolu_1", "get_weather")
        calls = seen.message["tool_calls"]
        assert [call["function"]["arguments"] for call in calls] == ['{"city":"Rome"}', "{}"]
        assert seen.message["reasoning_content"] == "which?"
        assert seen.body["choices"][0]["finish_reason"] == "tool_calls"

    @pytest.mark.parametrize(
        ("kind", "code", "status"),
        [
            ("overloaded_error", "http_529", 529),
            ("rate_limit_error", "http_429", 429),
            ("api_error", "endpoint_error", 0),
        ],
    )
    async def test_an_error_in_the_middle(self, kind: str, code: str, status: int) -> None:
        event = {"type": "error", "error": {"type": kind, "message": "Overloaded"}}

        error = await failing(ANTHROPIC, sse(*TEXT_STREAM[:4], event), stream=True)

        assert isinstance(error, Unavailable)
        assert (error.code, error.status, str(error)) == (code, status, "Overloaded")

    async def test_a_stream_that_ends_too_early(self) -> None:
        error = await failing(ANTHROPIC, sse(*TEXT_STREAM[:5]), stream=True)

        assert isinstance(error, Broken)

    async def test_events_and_blocks_it_does_not_know_are_skipped(self) -> None:
        news = ({"type": "novelty"}, begins(1, type="server_tool_use", id="x", name="y"), ends(1))

        seen = await exchange(
            ANTHROPIC, sse(*TEXT_STREAM[:6], *news, *TEXT_STREAM[6:]), stream=True
        )

        assert seen.answer.text == "Hello"


class TestRefusals:
    async def test_overloaded(self) -> None:
        body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}

        error = await failing(ANTHROPIC, answered(body, 529, retry_after="7"))

        assert isinstance(error, Unavailable)
        assert (error.code, error.retry_after_seconds) == ("http_529", 7)
        assert str(error) == "Overloaded"

    async def test_a_bad_request_reaches_the_client_in_openais_shape(self) -> None:
        wrong = {"type": "invalid_request_error", "message": "prompt is too long"}

        error = await failing(ANTHROPIC, answered({"type": "error", "error": wrong}, 400))

        assert isinstance(error, Refused)
        assert orjson.loads(error.body) == {
            "error": {
                "message": "prompt is too long",
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            }
        }

    async def test_an_account_without_credit_is_not_the_clients_fault(self) -> None:
        wrong = {
            "type": "invalid_request_error",
            "message": "Your credit balance is too low to access the Anthropic API.",
        }

        error = await failing(ANTHROPIC, answered({"type": "error", "error": wrong}, 400))

        assert isinstance(error, Unavailable)
        assert error.retryable
