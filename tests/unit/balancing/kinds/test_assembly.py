"""Chunks put together into the stored response."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from balancing.kinds.assembly import Assembly

HEAD = {"id": "x", "object": "chat.completion.chunk", "created": 5, "model": "m"}


def chunk(*choices: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**HEAD, "choices": list(choices), **fields}


def delta(index: int = 0, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"index": index, "delta": fields, "finish_reason": finish}


def assembled(*chunks: dict[str, Any]) -> Assembly:
    assembly = Assembly()
    for each in chunks:
        assembly.feed(each)
    return assembly


def message(assembly: Assembly, index: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = assembly.response()["choices"][index]["message"]
    return found


def test_text_is_joined_under_the_head_of_the_first_chunk() -> None:
    assembly = assembled(
        chunk(delta(role="assistant", content="")),
        chunk(delta(content="Hel")),
        chunk(delta(content="lo")),
        chunk(delta(finish="stop")),
    )

    assert assembly.response() == {
        **HEAD,
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "logprobs": None,
                "message": {"role": "assistant", "content": "Hello"},
            }
        ],
    }
    assert assembly.text == "Hello"
    assert assembly.tokens == 2


def test_only_what_carries_something_counts_as_speech() -> None:
    assembly = Assembly()

    spoke = [
        assembly.feed(chunk(delta(role="assistant", content=""))),
        assembly.feed(chunk(delta(content="a"))),
        assembly.feed(chunk(delta(reasoning_content="hm"))),
        assembly.feed(chunk(delta(tool_calls=[{"index": 0, "id": "c"}]))),
        assembly.feed(chunk(delta(finish="stop"))),
        assembly.feed(chunk(usage={"total_tokens": 3})),
    ]

    assert spoke == [False, True, True, True, True, False]


def test_usage_of_the_last_chunk_is_kept() -> None:
    assembly = assembled(
        chunk(delta(content="a"), usage=None), chunk(usage={"prompt_tokens": 1}), chunk(usage=None)
    )

    assert assembly.usage == {"prompt_tokens": 1}
    assert assembly.response()["usage"] == {"prompt_tokens": 1}


def test_without_usage_the_response_has_none() -> None:
    assert "usage" not in assembled(chunk(delta(content="a"))).response()


def test_choices_are_kept_apart_and_ordered() -> None:
    assembly = assembled(
        chunk(delta(1, content="b")),
        chunk(delta(0, content="a"), delta(1, content="B")),
        chunk(delta(1, finish="length")),
    )

    assert [c["message"]["content"] for c in assembly.response()["choices"]] == ["a", "bB"]
    assert [c["finish_reason"] for c in assembly.response()["choices"]] == [None, "length"]
    assert assembly.text == "a"


@pytest.mark.parametrize(
    ("chunks", "finished"),
    [
        ([], False),
        ([chunk(delta(content="a"))], False),
        ([chunk(delta(finish="stop"))], True),
        ([chunk(delta(0, finish="stop"), delta(1, content="b"))], False),
        ([chunk(delta(0, finish="stop"), delta(1, finish="stop"))], True),
    ],
)
def test_it_is_finished_when_every_choice_is(chunks: list[dict[str, Any]], finished: bool) -> None:
    assert assembled(*chunks).finished is finished


def test_tool_calls_are_merged_by_index() -> None:
    def part(index: int, arguments: str, **fields: Any) -> dict[str, Any]:
        name = {"name": fields.pop("name")} if "name" in fields else {}
        return {"index": index, "function": {"arguments": arguments, **name}, **fields}

    assembly = assembled(
        chunk(delta(tool_calls=[part(0, "", id="c1", name="look")])),
        chunk(delta(tool_calls=[part(1, '{"b"', id="c2", name="find"), part(0, '{"a"')])),
        chunk(delta(tool_calls=[part(0, ":1}"), part(1, ":2}")])),
        chunk(delta(finish="tool_calls")),
    )

    made = message(assembly)
    assert made["content"] is None
    assert [(c["id"], c["type"], c["function"]) for c in made["tool_calls"]] == [
        ("c1", "function", {"name": "look", "arguments": '{"a":1}'}),
        ("c2", "function", {"name": "find", "arguments": '{"b":2}'}),
    ]


@pytest.mark.parametrize("nothing", [None, []])
def test_no_tool_calls_are_no_speech_and_not_stored(nothing: Any) -> None:
    assembly = Assembly()

    spoke = assembly.feed(chunk(delta(role="assistant", tool_calls=nothing)))

    assert not spoke
    assert "tool_calls" not in message(assembly)


def test_logprobs_are_joined() -> None:
    def choice(token: str) -> dict[str, Any]:
        return {
            **delta(content=token),
            "logprobs": {"content": [{"token": token}], "refusal": None},
        }

    assembly = assembled(chunk(choice("a")), chunk(choice("b")))

    (made,) = assembly.response()["choices"]
    assert made["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}]}


def test_other_text_of_the_message_is_joined_by_name() -> None:
    assembly = assembled(
        chunk(delta(reasoning_content="let ")),
        chunk(delta(reasoning_content="me")),
        chunk(delta(content="yes")),
    )

    assert message(assembly)["reasoning_content"] == "let me"
    assert message(assembly)["content"] == "yes"


def test_legacy_completions_keep_their_shape() -> None:
    def part(text: str, finish: str | None = None) -> dict[str, Any]:
        return {
            **HEAD,
            "object": "text_completion",
            "choices": [{"text": text, "index": 0, "finish_reason": finish}],
        }

    assembly = assembled(part("a"), part("b"), part("", "stop"))

    response = assembly.response()
    assert response["object"] == "text_completion"
    assert response["choices"] == [
        {"index": 0, "finish_reason": "stop", "logprobs": None, "text": "ab"}
    ]


def test_a_stream_without_choices_is_an_empty_response() -> None:
    assembly = assembled({**HEAD, "choices": None})

    assert assembly.response()["choices"] == []
    assert assembly.text == ""


@pytest.mark.parametrize(
    ("field", "made"),
    [
        ("tool_calls", lambda n: {"index": 0, "function": {"arguments": "0123456789"}}),
        (
            "tool_calls",
            lambda n: {"index": 0, "function": {"name": "f", "arguments": "0123" if n else '"'}},
        ),
        ("tool_calls", lambda n: {"index": 0, "id": f"c{n}", "function": {"name": "f"}}),
        ("reasoning_details", lambda n: {"index": 0, "type": "t", "text": "0123456789"}),
    ],
    ids=["long arguments", "the name in each piece", "many calls", "long reasoning"],
)
def test_answers_of_any_size_take_linear_time(
    field: str, made: Callable[[int], dict[str, Any]]
) -> None:
    """Kind 4: a call of a megabyte in small pieces holds nobody up."""
    assembly = Assembly()

    def seconds(count: int) -> float:
        began = time.process_time()
        for n in range(count):
            assembly.feed(chunk({"index": 0, "delta": {field: [made(n)]}}))
        return time.process_time() - began

    few, many = seconds(5_000), seconds(40_000)

    assert many < 8 * few * 3 + 0.1


@pytest.mark.parametrize(
    ("part", "spoke"),
    [
        ({"type": "text", "text": ""}, False),
        ({"type": "text", "text": "", "index": 1, "annotations": []}, False),
        ({"type": "text", "text": "a"}, True),
        ({"type": "thinking", "thinking": "a"}, True),
        ({"type": "thinking", "thinking": ""}, False),
        ({"type": "image_url", "image_url": {"url": "data:x"}}, True),
    ],
)
def test_a_part_without_a_word_is_no_speech(part: dict[str, Any], spoke: bool) -> None:
    """Kind 3, X5: as with an empty text, another endpoint still takes over unseen."""
    assert Assembly().feed(chunk(delta(content=[part]))) is spoke
