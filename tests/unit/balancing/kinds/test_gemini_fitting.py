"""What Gemini refuses and OpenAI takes: mended, left out or refused (docs/providers.md)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from balancing.errors import Broken, Refused
from balancing.kinds.anthropic_answers import chunks_of as anthropic_chunks
from balancing.kinds.gemini import request_body
from balancing.kinds.gemini_answers import usage_of as gemini_usage
from tests.unit.balancing.kinds.exchange import answered, exchange, failing, sse
from tests.unit.balancing.kinds.test_gemini import GEMINI, response

HELLO = {"role": "user", "content": "hello"}
MODELS = ("gemini-2.5-flash", "gemini-2.5-pro", "gemini-3-pro-preview", "gemini-flash-latest")


def asked(*messages: Any, model: str = "gemini-2.5-flash", **fields: Any) -> Any:
    body = {"model": model, "messages": list(messages) or [HELLO], **fields}
    return request_body(orjson.loads(orjson.dumps(body)), model)


def config(**fields: Any) -> Any:
    return asked(**fields).get("generationConfig", {})


def call(identifier: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": identifier, "type": "function", "function": function}


def result(identifier: Any, content: Any = "sun") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identifier, "content": content}


class TestSampling:
    @pytest.mark.parametrize("model", MODELS)
    def test_penalties_are_left_out_where_models_have_none(self, model: str) -> None:
        """G9: "Penalty is not enabled for this model"."""
        assert config(model=model, frequency_penalty=0.2, presence_penalty=-1) == {}

    @pytest.mark.parametrize("model", ["gemini-2.0-flash", "gemini-1.5-pro-002", "m"])
    def test_penalties_are_sent_to_others_unless_they_are_0(self, model: str) -> None:
        """G9."""
        sent = config(model=model, frequency_penalty=0.2, presence_penalty=0)

        assert sent == {"frequencyPenalty": 0.2}

    @pytest.mark.parametrize(
        "fields", [{"max_tokens": -1}, {"max_tokens": 0}, {"top_k": -1}, {"top_k": 0}, {"stop": ""}]
    )
    def test_what_is_off_is_left_out(self, fields: Any) -> None:
        assert config(**fields) == {}

    @pytest.mark.parametrize(("seed", "sent"), [(7, 7), (0, 0), (2**31 + 5, 5), (-1, 2**31 - 1)])
    def test_a_seed_has_32_bits(self, seed: int, sent: int) -> None:
        """ "Invalid value at 'generation_config.seed' (TYPE_INT32)"."""
        assert config(seed=seed) == {"seed": sent}

    def test_empty_stops_are_left_out(self) -> None:
        """G4's kind: Gemini takes "\\n", and no empty text."""
        assert config(stop=["", "\n"]) == {"stopSequences": ["\n"]}

    @pytest.mark.parametrize(
        ("model", "effort", "expected"),
        [
            ("gemini-2.5-pro", "none", {"thinkingBudget": 128}),
            ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
            ("gemini-3-pro-preview", "minimal", {"thinkingLevel": "low"}),
            ("gemini-3-pro-preview", "none", {"thinkingLevel": "low"}),
            ("gemini-3-flash", "none", {"thinkingLevel": "minimal"}),
            ("gemini-3-flash", "xhigh", {"thinkingLevel": "high"}),
        ],
    )
    def test_efforts_that_a_model_does_not_have(
        self, model: str, effort: str, expected: Any
    ) -> None:
        """ "Budget 0 is invalid. This model only works in thinking mode" (vercel/ai#8027)."""
        assert config(model=model, reasoning_effort=effort)["thinkingConfig"] == expected

    def test_models_that_do_not_think(self) -> None:
        assert config(model="gemini-2.0-flash", reasoning_effort="low") == {}


class TestHistory:
    def test_only_a_system_message(self) -> None:
        """G8: "contents is not specified"."""
        sent = asked({"role": "system", "content": "Say hi."})

        assert sent["contents"] == [{"role": "user", "parts": [{"text": "Say hi."}]}]

    def test_a_history_that_begins_with_the_assistant(self) -> None:
        """G8: a call of a function must come after a turn of the user."""
        sent = asked({"role": "assistant", "tool_calls": [call("a")]}, result("a"))

        assert [turn["role"] for turn in sent["contents"]] == ["user", "model", "user"]

    @pytest.mark.parametrize("content", [None, [], ""])
    def test_nothing_at_all(self, content: Any) -> None:
        """X9."""
        with pytest.raises(Refused, match="Gemini needs a message that is not empty"):
            asked({"role": "user", "content": content})

    def test_every_call_has_its_response(self) -> None:
        """The number of responses must equal the number of calls; names are those of the calls."""
        sent = asked(
            HELLO,
            {"role": "assistant", "tool_calls": [call("0", "f"), call("1", "g")]},
            result("1"),
            {"role": "assistant", "tool_calls": [call("0", "h")]},
            result("0"),
            result("7", "late"),
        )

        first, second = sent["contents"][2], sent["contents"][4]
        assert [p["functionResponse"]["name"] for p in first["parts"]] == ["g", "f"]
        assert second["parts"][0]["functionResponse"]["name"] == "h"
        assert second["parts"][2] == {"text": "late"}

    def test_images_of_a_result_stand_beside_it(self) -> None:
        image = {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,AAAA"}}

        sent = asked(HELLO, {"role": "assistant", "tool_calls": [call("a")]}, result("a", [image]))

        assert sent["contents"][2]["parts"][1] == {
            "inlineData": {"mimeType": "image/jpeg", "data": "AAAA"}
        }

    def test_arguments_that_were_cut_off(self) -> None:
        """X19."""
        sent = asked(HELLO, {"role": "assistant", "tool_calls": [call("a", "f", '{"x": ')]})

        assert sent["contents"][1]["parts"][0]["functionCall"]["args"] == {"_raw": '{"x": '}

    @pytest.mark.parametrize("told", ["image/svg+xml", "image/bmp", "image/gif"])
    def test_types_of_images(self, told: str) -> None:
        """G7: "Unsupported MIME type"."""
        part = {"type": "image_url", "image_url": {"url": f"data:{told};base64,AAAA"}}

        with pytest.raises(Refused, match="image/heic, image/heif, image/jpeg, image/png"):
            asked({"role": "user", "content": [part]})

    @pytest.mark.parametrize(
        "parameters",
        [None, {}, {"type": "object"}, {"type": "object", "properties": {}, "required": []}],
    )
    def test_a_function_without_parameters(self, parameters: Any) -> None:
        """ "should be non-empty for OBJECT type"."""
        function = {"name": "now", "parameters": parameters}

        sent = asked(tools=[{"type": "function", "function": function}])

        assert sent["tools"][0]["functionDeclarations"] == [{"name": "now", "description": ""}]


class TestAnswers:
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"])
    async def test_a_call_that_is_none_is_a_failed_attempt(self, stream: bool, reason: str) -> None:
        """G10: not a normal, empty stop."""
        body = {"candidates": [{"finishReason": reason, "finishMessage": "bad", "index": 0}]}

        error = await failing(GEMINI, sse(body) if stream else answered(body), stream=stream)

        assert isinstance(error, Broken)
        assert error.retryable
        assert error.code == reason.lower()
        assert "bad" in str(error)

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("body", [{}, {"usageMetadata": {}}, {"candidates": []}])
    async def test_nothing_at_all_is_a_failed_attempt(self, stream: bool, body: Any) -> None:
        """G12."""
        error = await failing(GEMINI, sse(body) if stream else answered(body), stream=stream)

        assert isinstance(error, Broken)

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        ("body", "finish"),
        [
            ({"promptFeedback": {"blockReason": "OTHER"}}, "content_filter"),
            ({"promptFeedback": {"blockReason": "X"}, "candidates": []}, "content_filter"),
            ({"candidates": [{"finishReason": "NO_IMAGE", "index": 0}]}, "content_filter"),
            ({"candidates": [{"finishReason": "SAFETY"}]}, "content_filter"),
            ({"candidates": [{"finishReason": "MAX_TOKENS", "content": {}}]}, "length"),
            (response({"text": "a"}, reason="OTHER"), "stop"),
        ],
    )
    async def test_a_reason_is_a_choice_with_that_reason(
        self, body: Any, finish: str, stream: bool
    ) -> None:
        """G12."""
        seen = await exchange(GEMINI, sse(body) if stream else answered(body), stream=stream)

        (choice,) = seen.body["choices"]
        assert choice["finish_reason"] == finish
        assert choice["message"]["content"] in ("", "a")


def test_a_number_of_log_probabilities_goes_only_with_them() -> None:
    """Gemini refuses `logprobs` without `responseLogprobs`; SDKs send both when they are off."""
    assert config(logprobs=False, top_logprobs=0) == {}
    assert config(logprobs=True, top_logprobs=2) == {"responseLogprobs": True, "logprobs": 2}


def test_counts_that_are_no_numbers_are_not_told() -> None:
    assert gemini_usage({"promptTokenCount": "4", "candidatesTokenCount": 2})["total_tokens"] == 2
    odd = {"input_tokens": "9", "output_tokens": None, "cache_read_input_tokens": 3}
    message = {"model": "m", "content": [], "stop_reason": "end_turn", "usage": odd}
    [*_, last] = anthropic_chunks(message)
    assert last["usage"]["prompt_tokens"] == 3
