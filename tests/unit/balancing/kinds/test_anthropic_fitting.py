"""What Anthropic refuses and OpenAI takes: mended, left out or refused (docs/providers.md)."""

from __future__ import annotations

import re
import time
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancing.endpoints.target import Target
from balancing.errors import Refused
from balancing.kinds import KINDS
from balancing.kinds.anthropic import request_body
from tests.field import examples
from tests.unit.balancing.calls.scripted import chat
from tests.unit.balancing.kinds.exchange import answered, exchange, sse
from tests.unit.balancing.kinds.test_anthropic import (
    ANTHROPIC,
    START,
    STOP,
    WEATHER,
    begins,
    delta,
    ends,
    finish,
    message,
)

IDS = re.compile(r"[A-Za-z0-9_-]{1,64}")
HELLO = {"role": "user", "content": "hello"}
ENABLED = {"type": "enabled", "budget_tokens": 2000}
SIGNED = {"type": "thinking", "thinking": "hm", "signature": "s"}


def asked(*messages: Any, model: str = "claude-sonnet-4-5", **fields: Any) -> Any:
    body = {"model": model, "messages": list(messages) or [HELLO], **fields}
    return request_body(orjson.loads(orjson.dumps(body)), stream=False)


def call(identifier: str, arguments: Any = "{}", **fields: Any) -> dict[str, Any]:
    function = {"name": "get_weather", "arguments": arguments}
    return {"id": identifier, "type": "function", "function": function, **fields}


def called(*calls: Any, content: Any = None, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls), **fields}


def result(identifier: Any, content: Any = "sun") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identifier, "content": content}


def texts(sent: Any) -> list[tuple[str, list[str]]]:
    return [
        (turn["role"], [block.get("text", block["type"]) for block in turn["content"]])
        for turn in sent["messages"]
    ]


class TestForeignWriting:
    @pytest.mark.parametrize(
        "part",
        [
            {"text": "hi"},
            {"type": "input_text", "text": "hi"},
            {"type": "output_text", "text": "hi", "annotations": []},
        ],
    )
    def test_texts_of_other_apis_are_texts(self, part: Any) -> None:
        assert texts(asked({"role": "user", "content": [part]})) == [("user", ["hi"])]

    def test_a_text_that_is_null_is_left_out(self) -> None:
        """X9"""
        parts = [{"type": "text", "text": None}, {"type": "text", "text": "hi"}]
        assert texts(asked({"role": "user", "content": parts})) == [("user", ["hi"])]

    @pytest.mark.parametrize(
        "url",
        [
            "data:image/*;base64,iVBORw0KGgoA",
            "data:image;base64,iVBORw0KGgoA",
            "DATA:image/png;BASE64,iVBORw0KGgoA",
            " data:image/png;base64,iVBORw0KGgoA\n",
            "iVBORw0KGgoA",
        ],
    )
    def test_images_as_programs_write_them(self, url: str) -> None:
        """G7"""
        part = {"type": "image_url", "image_url": {"url": url}}
        [block] = asked({"role": "user", "content": [part]})["messages"][0]["content"]
        assert block["source"] == {
            "type": "base64",
            "media_type": "image/png",
            "data": "iVBORw0KGgoA",
        }

    def test_names_of_other_models_tools_are_mapped_in_the_history(self) -> None:
        """G5: pattern ^[a-zA-Z0-9_-]{1,128}$ of names."""
        made = call("a")
        made["function"]["name"] = "functions.Bash"
        nameless = call("b")
        nameless["function"]["name"] = ""

        sent = asked(HELLO, called(made, nameless), result("a"), result("b"))

        names = [block["name"] for block in sent["messages"][1]["content"]]
        assert names == [tool["name"] for tool in sent["tools"]] == ["functions_Bash", "tool"]

    @pytest.mark.parametrize(
        ("choice", "expected"),
        [
            ("any", {"type": "any"}),
            ({"type": "auto"}, {"type": "auto"}),
            ({"type": "any"}, {"type": "any"}),
            ({"type": "tool", "name": "f"}, {"type": "tool", "name": "f"}),
            ({"type": "function", "name": "f"}, {"type": "tool", "name": "f"}),
        ],
    )
    def test_choices_of_tools_in_other_apis_words(self, choice: Any, expected: Any) -> None:
        tool = {"type": "function", "name": "f", "parameters": {"type": "object"}}
        sent = asked(tools=[tool], tool_choice=choice)
        assert sent["tool_choice"] == expected
        assert sent["tools"][0]["name"] == "f"

    @pytest.mark.parametrize("thinking", [True, "enabled", {"type": "enabled"}])
    def test_thinking_without_a_budget_is_refused_by_name(self, thinking: Any) -> None:
        with pytest.raises(Refused, match="budget_tokens"):
            asked(thinking=thinking)


class TestToolIds:
    def test_ids_of_other_models_are_mapped_alike_in_call_and_result(self) -> None:
        """G5: pattern ^[a-zA-Z0-9_-]+$ (BerriAI/litellm#13388)."""
        foreign = "functions.Bash:0"

        sent = asked(HELLO, called(call(foreign)), result(foreign))

        _, assistant, user = sent["messages"]
        made = assistant["content"][0]["id"]
        assert IDS.fullmatch(made)
        assert user["content"][0]["tool_use_id"] == made

    def test_ids_that_would_read_alike_are_kept_apart(self) -> None:
        """G5: collisions."""
        ids = ["a:b", "a.b", "a_b", "x" * 80, "x" * 81, "é"]

        sent = asked(HELLO, called(*map(call, ids)), *(result(i, i) for i in ids))

        _, assistant, user = sent["messages"]
        made = [block["id"] for block in assistant["content"]]
        assert len(set(made)) == len(ids)
        assert all(IDS.fullmatch(name) for name in made)
        assert "a_b" in made
        assert [(b["tool_use_id"], b["content"][0]["text"]) for b in user["content"]] == list(
            zip(made, ids, strict=True)
        )

    def test_an_id_that_is_used_again_in_a_later_turn_is_unique(self) -> None:
        """G5: models that count their calls from 0 in each turn; Anthropic wants unique ids."""
        sent = asked(
            HELLO,
            called(call("call_0")),
            result("call_0"),
            called(call("call_0")),
            result("call_0"),
        )

        first, first_result, second, second_result = sent["messages"][1:]
        assert first["content"][0]["id"] == first_result["content"][0]["tool_use_id"] == "call_0"
        assert second["content"][0]["id"] == second_result["content"][0]["tool_use_id"]
        assert second["content"][0]["id"] != "call_0"

    def test_parallel_calls_with_one_id_get_their_results_in_order(self) -> None:
        sent = asked(HELLO, called(call("c"), call("c")), result("c", "1"), result("c", "2"))

        _, assistant, user = sent["messages"]
        made = [block["id"] for block in assistant["content"]]
        assert len(set(made)) == 2
        assert [block["tool_use_id"] for block in user["content"]] == made

    def test_other_kinds_get_ids_unchanged(self) -> None:
        """G5."""
        given = chat(messages=[HELLO, called(call("functions.Bash:0"))])
        target = Target(1, "e", "http://e/v1", frozenset(["m"]), "", 1.0, 1, "enabled")

        sent = KINDS["openai"].request(target, given, "").body

        assert sent == given.body.encode()


class TestStops:
    @pytest.mark.parametrize(
        ("stop", "expected"),
        [
            (["\n"], None),
            ("", None),
            (" \t", None),
            ([], None),
            (None, None),
            (["", "END"], ["END"]),
            (["\n\n", "\nHuman:"], ["\nHuman:"]),
        ],
    )
    def test_blank_ones_are_left_out(self, stop: Any, expected: Any) -> None:
        """G4: "each stop sequence must contain non-whitespace"."""
        assert asked(stop=stop).get("stop_sequences") == expected


class TestMedia:
    @pytest.mark.parametrize(
        ("told", "sent_type"),
        [
            ("image/jpg", "image/jpeg"),
            ("image/JPG", "image/jpeg"),
            ("image/pjpeg", "image/jpeg"),
            ("image/x-png", "image/png"),
            ("image/webp", "image/webp"),
        ],
    )
    def test_types_by_their_common_name(self, told: str, sent_type: str) -> None:
        """G7: Anthropic knows image/jpeg only."""
        part = {"type": "image_url", "image_url": {"url": f"data:{told};base64,AAAA"}}

        sent = asked({"role": "user", "content": [part]})

        assert sent["messages"][0]["content"][0]["source"]["media_type"] == sent_type

    @pytest.mark.parametrize(
        ("data", "sent_data"), [("AA\r\nAA\n", "AAAA"), ("A-_A", "A+/A"), ("AAA", "AAA=")]
    )
    def test_base64_as_clients_write_it(self, data: str, sent_data: str) -> None:
        part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}

        sent = asked({"role": "user", "content": [part]})

        assert sent["messages"][0]["content"][0]["source"]["data"] == sent_data

    @pytest.mark.parametrize("told", ["application/octet-stream", ""])
    def test_a_file_without_a_type_is_known_by_its_beginning(self, told: str) -> None:
        part = {"type": "image_url", "image_url": {"url": f"data:{told};base64,/9j/4AAQ"}}

        sent = asked({"role": "user", "content": [part]})

        assert sent["messages"][0]["content"][0]["source"]["media_type"] == "image/jpeg"

    @pytest.mark.parametrize("told", ["image/svg+xml", "image/bmp", "image/tiff", "text/plain"])
    def test_others_are_refused_with_the_types_that_are_taken(self, told: str) -> None:
        """G7."""
        part = {"type": "image_url", "image_url": {"url": f"data:{told};base64,AAAA"}}

        with pytest.raises(Refused) as refused:
            asked({"role": "user", "content": [part]})

        assert refused.value.status == 400
        for name in (told, "image/jpeg", "image/png", "image/gif", "image/webp"):
            assert name in str(refused.value)


class TestThinking:
    def test_the_thought_comes_back_before_its_call(self) -> None:
        """G6: with thinking on, the turn of a tool call begins with its signed thought."""
        extra = {"anthropic": {"thinking_blocks": [SIGNED]}}

        sent = asked(
            HELLO,
            called(call("t1", extra_content=extra), content="Let me see."),
            result("t1"),
            thinking=ENABLED,
        )

        assert [block["type"] for block in sent["messages"][1]["content"]] == [
            "thinking",
            "text",
            "tool_use",
        ]
        assert sent["messages"][1]["content"][0] == SIGNED
        assert sent["thinking"] == ENABLED

    def test_blocks_of_the_message_are_taken_too(self) -> None:
        """G6: where other gateways put them."""
        hidden = {"type": "redacted_thinking", "data": "x"}
        unsigned = {"type": "thinking", "thinking": "mine"}

        sent = asked(
            HELLO,
            called(call("t1"), thinking_blocks=[SIGNED, unsigned, hidden]),
            result("t1"),
            thinking=ENABLED,
        )

        assert sent["messages"][1]["content"][:2] == [SIGNED, hidden]
        assert "thinking" in sent

    def test_blocks_of_the_content_are_taken_too(self) -> None:
        text = {"type": "text", "text": "Let me see."}

        sent = asked(
            HELLO, called(call("t1"), content=[SIGNED, text]), result("t1"), thinking=ENABLED
        )

        assert sent["messages"][1]["content"][:2] == [SIGNED, text]

    @pytest.mark.parametrize("stream", [False, True])
    async def test_there_and_back(self, stream: bool) -> None:
        """G6: what the client got is what it sends, and Anthropic gets its block back."""
        use = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
        if stream:
            answer = sse(
                START,
                begins(0, type="thinking", thinking="", signature=""),
                delta(0, type="thinking_delta", thinking="h"),
                delta(0, type="thinking_delta", thinking="m"),
                delta(0, type="signature_delta", signature="s"),
                ends(0),
                begins(1, **use),
                ends(1),
                finish("tool_use"),
                STOP,
            )
        else:
            answer = answered(message(SIGNED, use, stop_reason="tool_use"))

        seen = await exchange(ANTHROPIC, answer, stream=stream, tools=[WEATHER], thinking=ENABLED)
        sent = asked(HELLO, seen.message, result("toolu_1"), tools=[WEATHER], thinking=ENABLED)

        assert seen.message["reasoning_content"] == "hm"
        assert sent["messages"][1]["content"][0] == SIGNED
        assert "thinking" in sent

    def test_without_a_signature_thinking_is_left_out(self) -> None:
        """G6: "Expected `thinking` ..., but found `tool_use`"."""
        sent = asked(HELLO, called(call("t1")), result("t1"), thinking=ENABLED, temperature=0.2)

        assert "thinking" not in sent
        assert sent["temperature"] == 0.2

    def test_an_earlier_exchange_without_one_does_no_harm(self) -> None:
        sent = asked(
            HELLO,
            called(call("t1")),
            result("t1"),
            {"role": "assistant", "content": "sun"},
            {"role": "user", "content": "and tomorrow?"},
            thinking=ENABLED,
        )

        assert sent["thinking"] == ENABLED

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"temperature": 0.2}, {}),
            ({"temperature": 1.7, "top_k": 5, "top_p": 0.5}, {}),
            ({"top_p": 0.97}, {"top_p": 0.97}),
        ],
    )
    def test_sampling_beside_thinking(self, fields: Any, expected: Any) -> None:
        """X9: "`temperature` may only be set to 1 when thinking is enabled"."""
        sent = asked(thinking=ENABLED, **fields)

        assert {n: sent[n] for n in ("temperature", "top_p", "top_k") if n in sent} == expected
        assert sent["thinking"] == ENABLED

    @pytest.mark.parametrize(
        ("limit", "budget", "expected"),
        [
            (None, 2000, (10192, 2000)),
            (None, 9000, (17192, 9000)),
            (4000, 4000, (4000, 2000)),
            (3000, 2999, (3000, 2999)),
            (1500, 5000, (1500, 1024)),
            (1024, 5000, (1024, None)),
            (100, 1024, (100, None)),
            (4000, 10, (4000, 1024)),
        ],
    )
    def test_the_budget_stays_below_the_limit(
        self, limit: int | None, budget: int, expected: Any
    ) -> None:
        """X9: "`max_tokens` must be greater than `thinking.budget_tokens`"."""
        sent = asked(max_tokens=limit, thinking={"type": "enabled", "budget_tokens": budget})

        thought = sent.get("thinking", {}).get("budget_tokens")
        assert (sent["max_tokens"], thought) == expected

    def test_a_forced_tool_goes_before_thinking(self) -> None:
        """ "Thinking may not be enabled when tool_choice forces tool use"."""
        sent = asked(tools=[WEATHER], tool_choice="required", thinking=ENABLED)

        assert sent["tool_choice"] == {"type": "any"}
        assert "thinking" not in sent

    @pytest.mark.parametrize("model", ["claude-opus-4-7", "claude-sonnet-5", "claude-opus-5-1"])
    def test_new_models_have_no_sampling_and_no_budget(self, model: str) -> None:
        """Anthropic's migration guide: non-default values and budgets are a 400 from 4.7 on."""
        sent = asked(model=model, temperature=0.2, top_p=0.5, top_k=3, thinking=ENABLED)

        assert sent["thinking"] == {"type": "adaptive"}
        assert not sent.keys() & {"temperature", "top_p", "top_k"}

    @pytest.mark.parametrize(
        ("model", "temperature", "expected"),
        [
            ("claude-opus-4-1-20250805", 0.2, {"temperature": 0.2}),
            ("claude-haiku-4-5", 1, {"top_p": 0.9}),
            ("claude-sonnet-4-20250514", 0.2, {"temperature": 0.2, "top_p": 0.9}),
            ("claude-3-5-sonnet-20241022", 0.2, {"temperature": 0.2, "top_p": 0.9}),
            ("another", 0.2, {"temperature": 0.2, "top_p": 0.9}),
        ],
    )
    def test_temperature_or_top_p(self, model: str, temperature: float, expected: Any) -> None:
        """ "`temperature` and `top_p` cannot both be specified for this model" (from 4.1 on)."""
        sent = asked(model=model, temperature=temperature, top_p=0.9)

        assert {n: sent[n] for n in ("temperature", "top_p") if n in sent} == expected


class TestHistory:
    def test_only_a_system_message(self) -> None:
        """G8: "at least one message is required"."""
        sent = asked({"role": "system", "content": "Say hi."})

        assert sent["system"] == [{"type": "text", "text": "Say hi."}]
        assert texts(sent) == [("user", ["Say hi."])]

    def test_a_history_that_begins_with_the_assistant(self) -> None:
        """G8: "first message must use the "user" role"."""
        sent = asked({"role": "assistant", "content": "Hi, what is it?"}, HELLO)

        assert texts(sent) == [
            ("user", ["."]),
            ("assistant", ["Hi, what is it?"]),
            ("user", ["hello"]),
        ]

    @pytest.mark.parametrize("blank", ["", " ", "\n\t", None, [], [{"type": "text", "text": " "}]])
    def test_blank_texts_are_dropped(self, blank: Any) -> None:
        """X9: white space beside tool calls, user content null or []."""
        sent = asked(
            {"role": "system", "content": blank},
            HELLO,
            called(call("t1"), content=blank),
            result("t1", blank),
            {"role": "user", "content": blank},
            {"role": "user", "content": "so?"},
        )

        assert "system" not in sent
        assert texts(sent) == [
            ("user", ["hello"]),
            ("assistant", ["tool_use"]),
            ("user", ["tool_result", "so?"]),
        ]
        assert sent["messages"][2]["content"][0]["content"] == []

    @pytest.mark.parametrize("content", [None, [], "", "  "])
    def test_nothing_at_all_is_refused_in_one_sentence(self, content: Any) -> None:
        """X9."""
        with pytest.raises(Refused, match="Anthropic needs a message that is not empty"):
            asked({"role": "user", "content": content})

    def test_a_prefill_loses_its_blank_end(self) -> None:
        """X9: "final assistant content cannot end with trailing whitespace"."""
        sent = asked(HELLO, {"role": "assistant", "content": "The answer is \n"})

        assert texts(sent) == [("user", ["hello"]), ("assistant", ["The answer is"])]

    def test_neighbours_of_one_role_are_joined(self) -> None:
        """X9."""
        sent = asked(
            HELLO, HELLO, {"role": "assistant", "content": "a"}, {"role": "assistant"}, HELLO
        )

        assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user"]

    def test_a_result_goes_before_what_the_user_says(self) -> None:
        """ "tool_use ids were found without tool_result blocks immediately after"."""
        sent = asked(HELLO, called(call("t1")), {"role": "user", "content": "well?"}, result("t1"))

        assert texts(sent)[-1] == ("user", ["tool_result", "well?"])

    def test_a_call_without_a_result_gets_one(self) -> None:
        sent = asked(HELLO, called(call("t1"), call("t2")), result("t2"), HELLO)

        given = sent["messages"][2]["content"]
        assert [block.get("tool_use_id") for block in given] == ["t2", "t1", None]
        assert given[1]["is_error"]

    @pytest.mark.parametrize("identifier", ["t9", None, ""])
    def test_a_result_without_a_call_is_told_as_text(self, identifier: Any) -> None:
        sent = asked(HELLO, result(identifier, "42"), {"role": "assistant", "content": "ok"}, HELLO)

        assert [block["type"] for block in sent["messages"][0]["content"]] == ["text"] * 3
        assert sent["messages"][0]["content"][2]["text"] == "42"

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ('{"city": "Ro', {"_raw": '{"city": "Ro'}),
            ("[1]", {"_raw": "[1]"}),
            ("", {}),
            (None, {}),
            ({"city": "Rome"}, {"city": "Rome"}),
        ],
    )
    def test_arguments_that_are_no_object(self, arguments: Any, expected: Any) -> None:
        """X19: cut off at the token limit."""
        sent = asked(HELLO, called(call("t1", arguments)), result("t1"))

        assert sent["messages"][1]["content"][0]["input"] == expected

    def test_an_image_as_a_result(self) -> None:
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}

        sent = asked(HELLO, called(call("t1")), result("t1", [image]))

        assert sent["messages"][2]["content"][0]["content"][0]["type"] == "image"

    def test_a_history_with_calls_and_no_tools(self) -> None:
        """ "Requests which include `tool_use` or `tool_result` blocks must define tools"."""
        sent = asked(HELLO, called(call("t1")), result("t1"))

        assert [tool["name"] for tool in sent["tools"]] == ["get_weather"]
        assert sent["tool_choice"] == {"type": "none"}


class TestFields:
    def test_open_objects_of_a_schema_are_closed(self) -> None:
        """ "For 'object' type, 'additionalProperties' must be explicitly set to false"."""
        inner = {"type": "object", "properties": {}, "additionalProperties": True}
        schema = {"type": "object", "properties": {"a": {"anyOf": [{"type": "object"}, inner]}}}
        wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}

        sent = asked(response_format=wanted)["output_config"]["format"]["schema"]

        assert sent["additionalProperties"] is False
        assert sent["properties"]["a"]["anyOf"] == [
            {"type": "object", "additionalProperties": False},
            inner,
        ]

    @pytest.mark.parametrize("limit", [-1, 0, None])
    def test_no_limit(self, limit: Any) -> None:
        """A16: -1 and 0 mean no limit; Anthropic wants one."""
        assert asked(max_tokens=limit)["max_tokens"] == 8192

    @pytest.mark.parametrize("value", [-1, 0])
    def test_top_k_that_is_off(self, value: int) -> None:
        assert "top_k" not in asked(top_k=value)

    @pytest.mark.parametrize("user", ["me@example.org", "+49 (30) 123456", 5, "", "x" * 300, None])
    def test_a_user_that_anthropic_refuses_is_left_out(self, user: Any) -> None:
        """ "metadata.user_id: user_id appears to contain an email address"."""
        assert "metadata" not in asked(user=user)

    def test_a_tool_without_description_and_type(self) -> None:
        """ "tools.0.input_schema.type: Field required"."""
        function = {"name": "f", "parameters": {"properties": {"a": {}}}}

        sent = asked(tools=[{"type": "function", "function": function}])

        assert sent["tools"] == [
            {"name": "f", "input_schema": {"type": "object", "properties": {"a": {}}}}
        ]

    def test_no_more_than_four_marks_for_the_cache(self) -> None:
        """ "A maximum of 4 blocks with cache_control may be provided"."""
        mark = {"cache_control": {"type": "ephemeral"}}
        parts = [{"type": "text", "text": str(n), **mark} for n in range(6)]

        sent = asked({"role": "user", "content": parts})

        marked = [b["text"] for b in sent["messages"][0]["content"] if "cache_control" in b]
        assert marked == ["2", "3", "4", "5"]


TEXTS = st.sampled_from(["", " ", "\n", "hi", None, [], [{"type": "text", "text": "\t"}], "end "])
CALLS = st.lists(st.sampled_from(["a", "a:b", "a.b", "", "b" * 70]), max_size=3)
MESSAGES = st.one_of(
    st.builds(lambda c: {"role": "system", "content": c}, TEXTS),
    st.builds(lambda c: {"role": "user", "content": c}, TEXTS),
    st.builds(lambda c, ids: called(*map(call, ids), content=c), TEXTS, CALLS),
    st.builds(result, st.sampled_from(["a", "a:b", "a.b", "", "zz", None]), TEXTS),
)


def holds_something(message: Any) -> bool:
    content = message.get("content")
    is_text = isinstance(content, str) and content.strip() != ""
    return is_text or bool(message.get("tool_calls")) or message["role"] == "tool"


@settings(max_examples=examples(60, 5000), deadline=None)
@given(messages=st.lists(MESSAGES, min_size=1, max_size=8), thinks=st.booleans())
def test_any_history_is_one_that_anthropic_takes(messages: Any, thinks: bool) -> None:
    """The reference is the list of rules that Anthropic's 400s name."""
    is_empty = not any(holds_something(message) for message in messages)
    if is_empty:
        with pytest.raises(Refused, match="not empty"):
            asked(*messages)
        return

    sent = asked(*messages, thinking=ENABLED if thinks else None)

    roles = [turn["role"] for turn in sent["messages"]]
    assert roles == [("user", "assistant")[n % 2] for n in range(len(roles))]
    seen: set[str] = set()
    waiting: list[str] = []
    for turn in sent["messages"]:
        blocks = turn["content"]
        assert blocks
        assert all(block["text"].strip() for block in blocks if block["type"] == "text")
        answered_ids = [b["tool_use_id"] for b in blocks if b["type"] == "tool_result"]
        assert sorted(answered_ids) == sorted(waiting)
        assert all(b["type"] == "tool_result" for b in blocks[: len(answered_ids)])
        waiting = [block["id"] for block in blocks if block["type"] == "tool_use"]
        assert all(IDS.fullmatch(name) and name not in seen for name in waiting)
        seen |= set(waiting)
    assert not waiting
    if roles[-1] == "assistant":
        last = sent["messages"][-1]["content"][-1]["text"]
        assert last == last.rstrip()
        assert "thinking" not in sent
    assert not seen or "tools" in sent


@pytest.mark.parametrize(
    "ids",
    [
        ["x"] * 10_000,
        [str(n) for n in range(10_000)],
        [f"{'x' * 56}{n:08}" for n in range(5_000)] * 2,
    ],
    ids=["one id", "many", "long ones, twice"],
)
def test_a_history_of_very_many_calls_takes_linear_time(ids: list[str]) -> None:
    """G5: results in any order. One client's history must not hold up the worker's other calls."""
    messages = [HELLO, called(*map(call, ids)), *map(result, reversed(ids))]
    began = time.process_time()

    sent = asked(*messages)

    assert time.process_time() - began < 2.0
    uses = [block["id"] for block in sent["messages"][1]["content"]]
    results = [block["tool_use_id"] for block in sent["messages"][2]["content"]]
    assert len(set(uses)) == len(ids)
    assert sorted(results) == sorted(uses)
