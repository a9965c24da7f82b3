"""Gemini's generateContent, by the shapes of its public reference."""

from __future__ import annotations

import base64
import struct
from typing import Any

import orjson
import pytest

from balancing.endpoints.access import Access
from balancing.errors import Broken, Refused, Unavailable
from tests.unit.balancing.kinds.exchange import answered, asked, exchange, failing, sse

GEMINI = Access(kind="gemini")
PIXEL = "iVBORw0KGgo="
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}


def response(*parts: Any, reason: str | None = "STOP", **usage: int) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    return {
        "candidates": [candidate | ({"finishReason": reason} if reason else {})],
        "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 2, **usage},
        "modelVersion": "gemini-x",
        "responseId": "r1",
    }


HI = response({"text": "Hi"})


class TestRequest:
    async def test_the_least(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LLM_TEST_KEY", "AIza-1")

        seen = await exchange(GEMINI, answered(HI), path="/v1beta")

        assert seen.path == "/v1beta/models/m:generateContent"
        assert seen.headers["x-goog-api-key"] == "AIza-1"
        assert "authorization" not in seen.headers
        assert seen.sent == {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}

    async def test_a_stream_has_a_path_of_its_own(self) -> None:
        seen = await exchange(GEMINI, sse(HI), stream=True, model="models/gemini-3/x")

        assert seen.path == "/v1/models/gemini-3%2Fx:streamGenerateContent?alt=sse"

    async def test_system_images_and_turns(self) -> None:
        url = f"data:image/jpeg;base64,{PIXEL}"
        sent = await asked(
            GEMINI,
            answered(HI),
            messages=[
                {"role": "system", "content": "Be brief."},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "look"},
                        {"type": "image_url", "image_url": {"url": url}},
                        {"type": "input_audio", "input_audio": {"data": PIXEL, "format": "wav"}},
                    ],
                },
                {"role": "assistant", "content": "a cat"},
                {"role": "user", "content": "sure?"},
            ],
        )

        assert sent["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
        assert [turn["role"] for turn in sent["contents"]] == ["user", "model", "user"]
        assert sent["contents"][0]["parts"][1:] == [
            {"inlineData": {"mimeType": "image/jpeg", "data": PIXEL}},
            {"inlineData": {"mimeType": "audio/wav", "data": PIXEL}},
        ]

    async def test_generation_config(self) -> None:
        sent = await asked(
            GEMINI,
            answered(HI),
            max_tokens=50,
            temperature=1.7,
            top_p=0.5,
            n=2,
            seed=7,
            stop=["END"],
            presence_penalty=0.5,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": PARAMETERS},
            },
            safety_settings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        )

        assert sent["generationConfig"] == {
            "maxOutputTokens": 50,
            "temperature": 1.7,
            "topP": 0.5,
            "candidateCount": 2,
            "seed": 7,
            "stopSequences": ["END"],
            "presencePenalty": 0.5,
            "responseMimeType": "application/json",
            "responseJsonSchema": PARAMETERS,
        }
        assert sent["safetySettings"][0]["threshold"] == "BLOCK_NONE"

    @pytest.mark.parametrize(
        ("model", "effort", "thinking"),
        [
            ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
            ("gemini-2.5-flash", "high", {"thinkingBudget": 24576}),
            ("gemini-3-pro", "low", {"thinkingLevel": "low"}),
        ],
    )
    async def test_effort(self, model: str, effort: str, thinking: Any) -> None:
        sent = await asked(GEMINI, answered(HI), model=model, reasoning_effort=effort)

        assert sent["generationConfig"]["thinkingConfig"] == thinking

    @pytest.mark.parametrize(
        ("model", "extra", "signature"),
        [
            ("gemini-3-pro", {"google": {"thought_signature": "sig"}}, "sig"),
            ("gemini-3-pro", None, "skip_thought_signature_validator"),
            ("gemini-2.5-pro", None, None),
        ],
    )
    async def test_tools_and_their_results(
        self, model: str, extra: Any, signature: str | None
    ) -> None:
        call = {
            "id": "call_1",
            "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city":"Rome"}'},
            "extra_content": extra,
        }
        sent = await asked(
            GEMINI,
            answered(HI),
            model=model,
            tools=[WEATHER],
            tool_choice={"type": "function", "function": {"name": "get_weather"}},
            messages=[
                {"role": "user", "content": "weather?"},
                {"role": "assistant", "tool_calls": [call, {**call, "id": "call_2"}]},
                {"role": "tool", "tool_call_id": "call_1", "content": '{"sky":"blue"}'},
                {"role": "tool", "tool_call_id": "call_2", "content": "rain"},
            ],
        )

        assert sent["tools"] == [
            {
                "functionDeclarations": [
                    {
                        "name": "get_weather",
                        "description": "",
                        "parametersJsonSchema": PARAMETERS,
                    }
                ]
            }
        ]
        assert sent["toolConfig"] == {
            "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["get_weather"]}
        }
        _, asking, results = sent["contents"]
        assert asking["parts"][0]["functionCall"] == {
            "name": "get_weather",
            "args": {"city": "Rome"},
        }
        assert asking["parts"][0].get("thoughtSignature") == signature
        assert [part["functionResponse"]["response"] for part in results["parts"]] == [
            {"sky": "blue"},
            {"result": "rain"},
        ]

    @pytest.mark.parametrize(
        "fields",
        [
            {"functions": [{"name": "f"}]},
            {"tools": [WEATHER], "tool_choice": "sometimes"},
            {"reasoning_effort": "extreme"},
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}],
                    }
                ]
            },
        ],
    )
    async def test_what_it_cannot_do_is_refused_before_it_is_sent(self, fields: Any) -> None:
        error = await failing(GEMINI, b"", **fields)

        assert isinstance(error, Refused)
        assert orjson.loads(error.body)["error"]["type"] == "invalid_request_error"


class TestWhole:
    async def test_text_usage_and_identity(self) -> None:
        seen = await exchange(
            GEMINI,
            answered(
                response(
                    {"text": "hm", "thought": True},
                    {"text": "Hi"},
                    thoughtsTokenCount=5,
                    cachedContentTokenCount=3,
                )
            ),
        )

        assert seen.body["id"].startswith("chatcmpl-")
        assert seen.message == {"role": "assistant", "content": "Hi", "reasoning_content": "hm"}
        assert seen.body["choices"][0]["finish_reason"] == "stop"
        assert seen.body["usage"] == {
            "prompt_tokens": 4,
            "completion_tokens": 7,
            "total_tokens": 11,
            "prompt_tokens_details": {"cached_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": 5},
        }
        assert (seen.answer.prompt_tokens, seen.answer.completion_tokens) == (4, 7)

    async def test_tool_calls_keep_their_signature(self) -> None:
        call = {
            "functionCall": {"name": "get_weather", "args": {"city": "Rome"}},
            "thoughtSignature": "sig",
        }

        seen = await exchange(GEMINI, answered(response(call)))

        (made,) = seen.message["tool_calls"]
        assert made["id"].startswith("call_")
        assert made["function"] == {"name": "get_weather", "arguments": '{"city":"Rome"}'}
        assert made["extra_content"] == {"google": {"thought_signature": "sig"}}
        assert seen.body["choices"][0]["finish_reason"] == "tool_calls"

    @pytest.mark.parametrize(
        ("reason", "finish_reason"),
        [
            ("MAX_TOKENS", "length"),
            ("SAFETY", "content_filter"),
            ("RECITATION", "content_filter"),
            ("PROHIBITED_CONTENT", "content_filter"),
        ],
    )
    async def test_finish_reasons(self, reason: str, finish_reason: str) -> None:
        seen = await exchange(GEMINI, answered(response(reason=reason)))

        assert seen.body["choices"][0]["finish_reason"] == finish_reason

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_blocked_prompt(self, stream: bool) -> None:
        body = {
            "promptFeedback": {"blockReason": "SAFETY"},
            "usageMetadata": {"promptTokenCount": 4},
        }

        seen = await exchange(GEMINI, sse(body) if stream else answered(body), stream=stream)

        assert seen.body["choices"][0]["finish_reason"] == "content_filter"
        assert seen.message["content"] == ""

    async def test_several_candidates(self) -> None:
        body = response({"text": "a"})
        second = {"content": {"parts": [{"text": "b"}]}, "index": 1, "finishReason": "STOP"}
        body["candidates"].append(second)

        seen = await exchange(GEMINI, answered(body), n=2)

        assert [c["message"]["content"] for c in seen.body["choices"]] == ["a", "b"]


class TestStream:
    async def test_text(self) -> None:
        events = (
            response({"text": "Hel"}, reason=None),
            response({"text": "lo"}, reason=None),
            response({"text": ""}, candidatesTokenCount=9),
        )

        seen = await exchange(GEMINI, sse(*events), stream=True)

        assert seen.deltas == [
            {"role": "assistant", "content": ""},
            {"content": "Hel"},
            {"content": "lo"},
            {},
        ]
        assert seen.chunks[-2]["choices"][0]["finish_reason"] == "stop"
        assert seen.chunks[-1]["usage"]["completion_tokens"] == 9
        assert seen.answer.text == "Hello"

    async def test_tool_calls(self) -> None:
        events = (
            response({"functionCall": {"name": "a", "args": {"x": 1}}}, reason=None),
            response({"functionCall": {"id": "own", "name": "b"}}),
        )

        seen = await exchange(GEMINI, sse(*events), stream=True, tools=[WEATHER])

        parts = [call for delta in seen.deltas for call in delta.get("tool_calls", ())]
        assert [(p["index"], p["function"]["arguments"]) for p in parts] == [
            (0, '{"x":1}'),
            (1, "{}"),
        ]
        assert parts[1]["id"] == "own"
        assert seen.chunks[-2]["choices"][0]["finish_reason"] == "tool_calls"

    async def test_an_error_in_the_middle(self) -> None:
        wrong = {
            "error": {
                "code": 503,
                "message": "The model is overloaded.",
                "status": "UNAVAILABLE",
            }
        }

        error = await failing(GEMINI, sse(response({"text": "a"}, reason=None), wrong), stream=True)

        assert isinstance(error, Unavailable)
        assert (error.code, str(error)) == ("http_503", "The model is overloaded.")

    async def test_a_stream_that_ends_too_early(self) -> None:
        error = await failing(GEMINI, sse(response({"text": "a"}, reason=None)), stream=True)

        assert isinstance(error, Broken)

    async def test_an_unknown_shape(self) -> None:
        error = await failing(GEMINI, sse({"candidates": ["x"]}), stream=True)

        assert isinstance(error, Broken)


class TestRefusals:
    async def test_the_delay_is_in_the_body(self) -> None:
        details = [
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure"},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17.5s"},
        ]
        body = {
            "error": {
                "code": 429,
                "message": "quota",
                "status": "RESOURCE_EXHAUSTED",
                "details": details,
            }
        }

        error = await failing(GEMINI, answered(body, 429))

        assert isinstance(error, Unavailable)
        assert (error.code, error.retry_after_seconds) == ("http_429", 17.5)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"message": "API key not valid. Please pass a valid API key."},
            {"message": "User location is not supported.", "status": "FAILED_PRECONDITION"},
        ],
    )
    async def test_our_own_account_is_not_the_clients_fault(self, wrong: Any) -> None:
        error = await failing(GEMINI, answered({"error": {"code": 400, **wrong}}, 400))

        assert isinstance(error, Unavailable)

    async def test_a_bad_request_reaches_the_client_in_openais_shape(self) -> None:
        wrong = {"code": 400, "message": "Unknown field", "status": "INVALID_ARGUMENT"}

        error = await failing(GEMINI, answered({"error": wrong}, 400))

        assert isinstance(error, Refused)
        assert orjson.loads(error.body)["error"]["message"] == "Unknown field"
        assert "status" not in orjson.loads(error.body)["error"]


class TestEmbeddings:
    ANSWER = {"embeddings": [{"values": [0.5, -1.0]}, {"values": [0.25, 2.0]}]}

    async def test_texts(self) -> None:
        seen = await exchange(
            GEMINI, answered(self.ANSWER), api="embedding", input=["a", "b"], dimensions=2
        )

        assert seen.path == "/v1/models/m:batchEmbedContents"
        assert seen.sent["requests"][1] == {
            "model": "models/m",
            "content": {"parts": [{"text": "b"}]},
            "outputDimensionality": 2,
        }
        assert [each["embedding"] for each in seen.body["data"]] == [[0.5, -1.0], [0.25, 2.0]]

    async def test_base64_as_the_sdk_asks(self) -> None:
        seen = await exchange(
            GEMINI,
            answered(self.ANSWER),
            api="embedding",
            input="a",
            encoding_format="base64",
        )

        packed = base64.b64decode(seen.body["data"][0]["embedding"])
        assert struct.unpack("<2f", packed) == (0.5, -1.0)

    async def test_tokens_are_refused(self) -> None:
        error = await failing(GEMINI, b"", api="embedding", input=[[1, 2]])

        assert isinstance(error, Refused)
