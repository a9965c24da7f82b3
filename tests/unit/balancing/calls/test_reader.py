"""What clients get of answers as endpoints really send them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from balancing.calls.answer import Answer, Piece
from balancing.errors import Broken, CallError, Refused, Unavailable
from tests.unit.balancing.calls.fed import (
    asked,
    delta,
    fed,
    frame,
    frames,
    message_of,
)
from tests.unit.balancing.calls.scripted import Chunks

STOP = delta(finish="stop")
HI = delta(content="hi")
WHOLE = {
    "id": "x",
    "object": "chat.completion",
    "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    ],
}
BOM = b"\xef\xbb\xbf"


def text(value: Any) -> bytes:
    return orjson.dumps(value)


async def failure(*parts: bytes, **options: Any) -> CallError:
    with pytest.raises(CallError) as caught:
        await fed(*parts, **options)
    return caught.value


class TestLabels:
    """The bytes decide, whatever was asked for and however the answer is labelled."""

    @pytest.mark.parametrize("labelled", [True, False])
    @pytest.mark.parametrize("lead", [b"", BOM, b" \r\n\n", b"\n" + BOM, b": hello\n\n"])
    async def test_a_stream(self, lead: bytes, labelled: bool) -> None:
        """A9, X10"""
        chunks = Chunks()

        answer = await fed(lead + frames(HI, STOP), stream=True, chunks=chunks, labelled=labelled)

        assert (chunks.text, answer.text) == ("hi", "hi")

    @pytest.mark.parametrize("labelled", [True, False])
    async def test_a_stream_where_a_whole_answer_was_asked(self, labelled: bool) -> None:
        """A10"""
        chunks = Chunks()
        usage = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}

        answer = await fed(frames(HI, STOP, usage), chunks=chunks, labelled=labelled)

        body = orjson.loads(answer.body)
        assert (body["object"], body["usage"]) == ("chat.completion", usage["usage"])
        assert body["choices"][0]["message"] == {"role": "assistant", "content": "hi"}
        assert (answer.prompt_tokens, answer.completion_tokens) == (3, 1)
        assert chunks.all == []

    @pytest.mark.parametrize("labelled", [True, False])
    @pytest.mark.parametrize("lead", [b"", BOM, b"\r\n  \n" + BOM])
    async def test_a_whole_answer(self, lead: bytes, labelled: bool) -> None:
        """X10"""
        answer = await fed(*[bytes([b]) for b in lead], text(WHOLE), labelled=labelled)

        assert answer.text == "hi"

    async def test_a_whole_chat_where_a_stream_was_asked(self) -> None:
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": None, "tool_calls": [call, call]},
            "finish_reason": "tool_calls",
        }
        chunks = Chunks()

        await fed(text({**WHOLE, "choices": [choice]}), stream=True, chunks=chunks)

        (said, _), (end, _) = chunks.all
        (part,) = said["choices"]
        assert part["delta"]["tool_calls"] == [{"index": 0, **call}, {"index": 1, **call}]
        assert part["finish_reason"] is None
        assert end["choices"] == [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]

    async def test_a_whole_completion_where_a_stream_was_asked(self) -> None:
        """X13"""
        choices = [{"index": 0, "text": "hi", "logprobs": None, "finish_reason": "stop"}]
        whole = {"id": "1", "object": "text_completion", "choices": choices, "usage": {"x": 1}}
        chunks = Chunks()

        answer = await fed(text(whole), call=asked("completion", stream=True), chunks=chunks)

        assert answer.text == "hi"
        assert {chunk["object"] for chunk, _ in chunks.all} == {"text_completion"}
        assert [[c["text"] for c in chunk["choices"]] for chunk, _ in chunks.all] == [
            ["hi"],
            [""],
            [],
        ]
        assert [piece for _, piece in chunks.all][-1] is Piece.USAGE

    async def test_a_streamed_completion_that_does_not_say_so(self) -> None:
        parts = [{"choices": [{"index": 0, "text": t, "delta": None}]} for t in ("h", "i")]

        answer = await fed(frames(*parts, STOP), call=asked("completion"))

        body = orjson.loads(answer.body)
        assert (body["object"], body["choices"][0]["text"]) == ("text_completion", "hi")

    @pytest.mark.parametrize("stream", [True, False])
    async def test_a_whole_answer_as_an_event(self, stream: bool) -> None:
        chunks = Chunks()

        answer = await fed(frames(WHOLE), stream=stream, chunks=chunks)

        assert answer.text == "hi"
        assert chunks.text == ("hi" if stream else "")

    async def test_json_lines(self) -> None:
        lines = b"".join(text(chunk) + b"\n" for chunk in (HI, HI, STOP))
        chunks = Chunks()

        answer = await fed(lines[:50], lines[50:], stream=True, chunks=chunks)

        assert (answer.text, chunks.text) == ("hihi", "hihi")

    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize("body", [[WHOLE], [HI, STOP], {**HI, "object": "x.chunk"}])
    async def test_lists_and_single_chunks(self, body: Any, stream: bool) -> None:
        chunks = Chunks()

        answer = await fed(text(body), stream=stream, chunks=chunks)

        assert answer.text == "hi"
        assert chunks.text == ("hi" if stream else "")


class TestText:
    """What is broken in a text is repaired, and the stream goes on."""

    async def test_halves_of_a_pair_in_two_chunks(self) -> None:
        """A11"""
        first = frame(b'{"choices":[{"index":0,"delta":{"content":"a\\ud83d"}}]}')
        second = frame(b'{"choices":[{"index":0,"delta":{"content":"\\ude00b"}}]}')
        chunks = Chunks()

        answer = await fed(first + second + frames(STOP), stream=True, chunks=chunks)

        assert (answer.text, chunks.text) == ("a\U0001f600b", "a\U0001f600b")

    @pytest.mark.parametrize(
        ("contents", "expected"),
        [
            (["a\\ud83d", "b"], "a\ufffdb"),
            (["a\\ud83d"], "a\ufffd"),
            (["\\ude00b"], "\ufffdb"),
            (["\\ud83d", "\\ud83d", "\\ude00"], "\ufffd\U0001f600"),
        ],
    )
    async def test_a_half_that_stays_alone(self, contents: list[str], expected: str) -> None:
        """A11"""
        cut = [f'{{"choices":[{{"delta":{{"content":"{c}"}}}}]}}'.encode() for c in contents]
        chunks = Chunks()

        answer = await fed(frames(*cut, STOP), stream=True, chunks=chunks)

        assert (answer.text, chunks.text) == (expected, expected)

    async def test_halves_in_the_arguments_of_a_tool_call(self) -> None:
        call = (
            '{"choices":[{"delta":{"tool_calls":[{"index":0%s,"function":{"arguments":"%s"%s}}]}}]}'
        )
        first = call % (',"id":"c"', '{\\"a\\":\\"\\ud83d', ',"name":"f"')
        second = call % ("", '\\ude00\\"}', "")

        answer = await fed(frames(first.encode(), second.encode(), STOP), stream=True)

        (made,) = message_of(answer)["tool_calls"]
        assert orjson.loads(made["function"]["arguments"]) == {"a": "\U0001f600"}

    @pytest.mark.parametrize(
        ("raw", "expected"),
        [(b"\xe4\xb8", "\ufffd"), (b"a\xffb", "a\ufffdb"), (b"a\tb\x02", "a\tb\x02")],
    )
    async def test_bytes_that_are_no_json(self, raw: bytes, expected: str) -> None:
        """A12"""
        odd = b'{"choices":[{"index":0,"delta":{"content":"' + raw + b'"}}]}'
        whole = b'{"choices":[{"message":{"content":"' + raw + b'"},"finish_reason":"stop"}]}'
        chunks = Chunks()

        answer = await fed(frames(odd, STOP), stream=True, chunks=chunks)

        assert (answer.text, chunks.text) == (expected, expected)
        assert (await fed(whole)).text == expected

    async def test_nan_among_the_logprobs(self) -> None:
        """X18"""
        odd = b'{"choices":[{"delta":{"content":"hi"},"logprobs":{"content":[{"logprob":NaN}]}}]}'
        chunks = Chunks()

        answer = await fed(frames(odd, STOP), stream=True, chunks=chunks)

        assert chunks.all[0][0]["choices"][0]["logprobs"]["content"] == [{"logprob": None}]
        (choice,) = orjson.loads(answer.body)["choices"]
        assert choice["logprobs"]["content"] == [{"logprob": None}]

    async def test_content_as_a_list_of_parts(self) -> None:
        """X5"""
        thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
        parts = [thought, {"type": "text", "text": "hi"}]
        chunks = Chunks()

        answer = await fed(frames(delta(content=parts), HI, STOP), stream=True, chunks=chunks)

        assert chunks.all[0][0]["choices"][0]["delta"]["content"] == parts
        assert answer.text == "hihi"
        assert message_of(answer)["reasoning_content"] == "hm"

    async def test_content_as_a_list_of_parts_in_a_whole_answer(self) -> None:
        """X5"""
        parts = [{"type": "text", "text": "a"}, {"type": "other"}, {"type": "text", "text": "b"}]

        answer = await fed(text({"choices": [{"message": {"content": parts}}]}))

        assert answer.text == "ab"
        assert message_of(answer)["content"] == parts

    async def test_azures_chunks_without_choices(self) -> None:
        """G13"""
        filters = {"model": "", "choices": [], "prompt_filter_results": [1], "usage": None}
        late = {"choices": [{"index": 0, "content_filter_results": {}, "finish_reason": None}]}
        end = delta(finish="content_filter")
        chunks = Chunks()

        answer = await fed(
            frames(filters, {**HI, "model": "gpt", "created": 5}, late, end),
            stream=True,
            chunks=chunks,
        )

        body = orjson.loads(answer.body)
        assert (body["model"], body["created"]) == ("gpt", 5)
        pieces = [piece for _, piece in chunks.all]
        assert pieces == [Piece.FRAME, Piece.CONTENT, Piece.FRAME, Piece.CONTENT]

    async def test_chunks_that_hold_nothing(self) -> None:
        odd = [
            {"choices": None},
            {"object": "ping"},
            {"choices": [None]},
            {"choices": [{"index": None, "delta": None}]},
        ]
        chunks = Chunks()

        answer = await fed(frames(*odd, b"null", HI, STOP), stream=True, chunks=chunks)

        assert answer.text == "hi"
        assert [piece for _, piece in chunks.all][-2:] == [Piece.CONTENT, Piece.CONTENT]
        assert all(isinstance(chunk["choices"], list) for chunk, _ in chunks.all)


@pytest.mark.parametrize(
    ("chunk", "piece"),
    [
        (delta(role="assistant"), Piece.FRAME),
        (delta(role="assistant", content=""), Piece.FRAME),
        (delta(content=None, tool_calls=None, refusal=None), Piece.FRAME),
        (delta(tool_calls=[]), Piece.FRAME),
        (delta(tool_calls=[{"index": 0}]), Piece.FRAME),
        (delta(tool_calls=[None]), Piece.FRAME),
        (delta(content=[{"type": "text", "text": ""}]), Piece.FRAME),
        (delta(reasoning_details=[{"type": "reasoning.text", "id": "r", "text": ""}]), Piece.FRAME),
        (delta(audio={"id": "a"}), Piece.FRAME),
        (delta(status="thinking", padding="xx"), Piece.FRAME),
        (delta(content=42), Piece.CONTENT),
        (delta(thinking="x"), Piece.CONTENT),
        ({"choices": [], "usage": None}, Piece.FRAME),
        (delta(content="x"), Piece.CONTENT),
        (delta(reasoning="x"), Piece.CONTENT),
        (delta(reasoning_content="x"), Piece.CONTENT),
        (delta(refusal="x"), Piece.CONTENT),
        (delta(reasoning_details=[{"type": "reasoning.text", "text": "x"}]), Piece.CONTENT),
        (delta(tool_calls=[{"index": 0, "id": "c"}]), Piece.CONTENT),
        (delta(finish="stop"), Piece.CONTENT),
        ({"choices": [], "usage": {"prompt_tokens": 1}}, Piece.USAGE),
        ({**delta(content="x"), "usage": {"prompt_tokens": 1}}, Piece.CONTENT),
    ],
)
async def test_what_a_chunk_holds(chunk: dict[str, Any], piece: Piece) -> None:
    chunks = Chunks()

    await fed(frames(chunk, HI, STOP), stream=True, chunks=chunks)

    assert chunks.all[0][1] is piece


NO_ANSWERS: list[Any] = [
    {"choices": None},
    {"choices": []},
    {},
    {"choices": [None]},
    {"choices": [{}]},
    {"choices": [{"index": 0, "message": None, "finish_reason": None}]},
    {"choices": [{"index": 0, "message": {"role": "assistant", "content": ""}}]},
    {"object": "error", "message": "no", "code": 400},
    {"detail": "no"},
    {"base_resp": {"status_code": 1002, "status_msg": "no"}},
    {"choices": None, "base_resp": {"status_code": 1002, "status_msg": "no"}},
    {"error": {"message": "no"}},
    {"error": "no"},
    {"error": {"message": "no"}, "choices": []},
    {"success": False},
    {"code": 40001, "msg": "no"},
    {"errors": ["no"]},
    [],
    "no",
    None,
    5,
]


class TestSuccess:
    """A success holds an answer."""

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("body", NO_ANSWERS)
    async def test_a_whole_answer_without_one(self, body: Any, stream: bool) -> None:
        """A4"""
        error = await failure(text(body), stream=stream)

        assert error.retryable
        assert isinstance(error, Broken | Unavailable)

    @pytest.mark.parametrize("body", [b"", b" \n ", b"<html>oops</html>", b"oops", b"\xff\xfe"])
    @pytest.mark.parametrize("stream", [False, True])
    async def test_what_is_no_json(self, body: bytes, stream: bool) -> None:
        error = await failure(body, stream=stream)

        assert error.retryable

    @pytest.mark.parametrize(
        "body",
        [
            b"data: [DONE]\n\n",
            b": ping\n\n: ping\n\n",
            frames(delta(role="assistant", content="")),
            frames(delta(role="assistant", content=""), done=False),
            frames({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 0}}),
            *(frames(body) for body in NO_ANSWERS if isinstance(body, dict)),
            b'event: error\ndata: {"whatever": 1}\n\n',
            b"event: error\ndata: oops\n\n",
            b'error: {"message": "no"}\n\n',
        ],
    )
    async def test_a_stream_without_one(self, body: bytes) -> None:
        error = await failure(body, stream=True)

        assert error.retryable

    @pytest.mark.parametrize("found", NO_ANSWERS[7:17])
    async def test_a_foreign_error_is_an_error(self, found: Any) -> None:
        """A4, X18"""
        assert isinstance(await failure(text(found)), Unavailable)
        assert isinstance(await failure(frames(found), stream=True), Unavailable)

    @pytest.mark.parametrize(
        "found",
        [
            {"object": "error", "message": "no", "type": "BadRequestError", "code": 400},
            {"error": {"message": "no", "code": 400}},
            {"error": {"message": "no", "type": "invalid_request_error"}},
            {"detail": [{"loc": ["body"], "msg": "no"}]},
        ],
    )
    async def test_an_error_that_is_the_clients_is_told_as_one(self, found: Any) -> None:
        """X20"""
        for error in (await failure(text(found)), await failure(frames(found), stream=True)):
            assert isinstance(error, Refused)
            assert error.status == 400

    @pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
    async def test_an_empty_text_with_a_finish_reason_is_an_answer(self, reason: str) -> None:
        choice = {"index": 0, "message": {"content": ""}, "finish_reason": reason}

        await fed(text({"choices": [choice]}))
        await fed(frames(delta(role="assistant"), delta(finish=reason)), stream=True)

    @pytest.mark.parametrize("reason", ["tool_calls", "function_call", "null"])
    async def test_a_finish_reason_that_no_client_could_use(self, reason: str) -> None:
        choice = {"index": 0, "message": {"tool_calls": [None]}, "finish_reason": reason}

        for error in (
            await failure(text({"choices": [choice]})),
            await failure(frames(delta(role="assistant"), delta(finish=reason)), stream=True),
        ):
            assert error.code == "empty_answer"

    @pytest.mark.parametrize(
        "failed",
        [
            {"finish_reason": "error"},
            {"finish_reason": "insufficient_system_resource"},
            {"finish_reason": "abort"},
            {"error": {"code": 502, "message": "Provider returned error"}},
        ],
    )
    @pytest.mark.parametrize("said", ["", "half an answer"])
    async def test_a_choice_that_failed(self, failed: Any, said: str) -> None:
        """As OpenRouter, DeepSeek, vLLM report it, whatever was said before."""
        whole = {"index": 0, "message": {"content": said}, **failed}
        last = {"choices": [{"index": 0, "delta": {"content": ""}, **failed}]}

        for error in (
            await failure(text({"choices": [whole]})),
            await failure(frames(delta(content=said), last), stream=True),
        ):
            assert isinstance(error, Unavailable)

    @pytest.mark.parametrize(
        "behind",
        [b"data: [done]\n\n", b'data: "[DONE]"\n\n', b"data: {cut off\n\n",
         b'data: {"error": {"message": "late", "code": 500}}\n\n', b"event: error\ndata: x\n\n"],
    )  # fmt: skip
    async def test_nothing_behind_a_finished_answer_harms_it(self, behind: bytes) -> None:
        """X16"""
        answer = await fed(frames(delta(content="hi"), delta(finish="stop")) + behind, stream=True)

        assert answer.text == "hi"

    @pytest.mark.parametrize(
        "ping",
        [b"event: ping\ndata: ping\n\n", b"event: keepalive\ndata: 1732\n\n", b'data: ""\n\n',
         b"data: {}\n\n", b"data: keep-alive\n\n", b"data: 1\n\n", b"data:\n\n"],
    )  # fmt: skip
    async def test_pings_that_are_no_objects(self, ping: bytes) -> None:
        answer = await fed(ping + frames(delta(content="hi"), delta(finish="stop")), stream=True)

        assert answer.text == "hi"

    @pytest.mark.parametrize(
        "body",
        [
            b"data: data: " + orjson.dumps(delta(content="hi", finish="stop")) + b"\n\n",
            b"data: " + orjson.dumps([delta(content="hi"), delta(finish="stop")]) + b"\n\n",
            orjson.dumps({"choices": [{"message": {"content": "hi"}}]}) + b"\n\0\0",
            orjson.dumps({"choices": [{"message": {"content": "hi"}}]}).decode().encode("utf-16"),
        ],
    )
    async def test_other_forms_of_an_answer(self, body: bytes) -> None:
        """A9, A13: the bytes decide."""
        for stream in (True, False):
            answer = await fed(body[:9], body[9:], stream=stream)

            assert answer.text == "hi"

    @pytest.mark.parametrize(
        "data", [None, [], [{}], [{"embedding": []}], [None], {"embedding": [1.0]}, "x"]
    )
    async def test_embeddings_without_vectors(self, data: Any) -> None:
        await failure(text({"object": "list", "data": data}), call=asked("embedding"))

    @pytest.mark.parametrize("vector", [[0.5], "AAAA"])
    async def test_embeddings(self, vector: Any) -> None:
        """A27"""
        body = {"data": [{"embedding": vector}], "usage": {"prompt_tokens": 3, "total_tokens": 3}}

        answer = await fed(text(body), call=asked("embedding"))

        assert answer.prompt_tokens == 3

    @pytest.mark.parametrize("reason", ["stop", None])
    async def test_two_frames_glued_together(self, reason: str | None) -> None:
        """A14"""
        glued = b'data: {"id":"1","objdata: {"choices":[{"delta":{"content":"x"}}]}\n\n'

        error = await failure(glued + frames(delta(finish=reason)), stream=True)

        assert (type(error), error.code) == (Broken, "malformed")


class TestEnds:
    """Complete is complete."""

    @pytest.mark.parametrize("end", [{}, {"breaks": True}, {"silent": True}])
    async def test_a_finished_stream_without_its_end(self, end: dict[str, Any]) -> None:
        """X16"""
        answer = await fed(frames(HI, STOP, done=False), stream=True, **end)

        assert answer.text == "hi"

    @pytest.mark.parametrize("end", [{}, {"breaks": True}])
    async def test_an_unfinished_stream_is_broken(self, end: dict[str, Any]) -> None:
        error = await failure(frames(HI, done=False), stream=True, **end)

        assert (type(error), error.code) == (Broken, "broken")

    async def test_a_finish_reason_that_is_repeated(self) -> None:
        answer = await fed(frames(HI, STOP, STOP, done=False), stream=True, silent=True)

        assert answer.text == "hi"

    async def test_the_other_choices_are_waited_for(self) -> None:
        call = asked(stream=True, n=2)

        error = await failure(frames(HI, STOP, done=False), call=call, breaks=True)

        assert error.code == "broken"

    @pytest.mark.parametrize("reason", ["stop", "null"])
    async def test_a_finish_reason_on_every_chunk_is_no_end(self, reason: str) -> None:
        each = [delta(finish=reason, content=word) for word in ("a", "b")]

        error = await failure(frames(*each, done=False), stream=True, breaks=True)
        answer = await fed(frames(*each), stream=True)

        assert error.code == "broken"
        assert answer.text == "ab"

    @pytest.mark.parametrize("end", [{}, {"breaks": True}, {"silent": True}])
    async def test_a_whole_answer_shorter_than_announced(self, end: dict[str, Any]) -> None:
        answer = await fed(text(WHOLE), b"\n", b" ", **end)

        assert answer.text == "hi"

    async def test_a_whole_answer_that_breaks_off(self) -> None:
        error = await failure(text(WHOLE)[:-5], breaks=True)

        assert (type(error), error.code) == (Broken, "broken")


class TestToolCalls:
    """Parallel calls stay apart."""

    @pytest.mark.parametrize("index", [0, None, "none"])
    async def test_one_index_for_all(self, index: Any) -> None:
        """A7"""
        parts: list[dict[str, Any]] = [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x"'}},
            {"function": {"arguments": ":1}"}},
            {"id": "b", "type": "function", "function": {"name": "f", "arguments": ""}},
            {"id": "b", "function": {"arguments": '{"y":2}'}},
        ]
        if index != "none":
            parts = [{"index": index, **part} for part in parts]

        answer = await fed(frames(*(delta(tool_calls=[p]) for p in parts), STOP), stream=True)

        calls = message_of(answer)["tool_calls"]
        assert [(c["id"], c["function"]["arguments"]) for c in calls] == [
            ("a", '{"x":1}'),
            ("b", '{"y":2}'),
        ]

    async def test_a_call_whose_id_comes_late_or_never(self) -> None:
        parts = [
            {"index": 0, "function": {"name": "f"}},
            {"index": 0, "id": "a", "function": {"arguments": "{}"}},
            {"index": 1, "function": {"name": "g", "arguments": ""}},
        ]

        answer = await fed(frames(*(delta(tool_calls=[p]) for p in parts), STOP), stream=True)

        first, second = message_of(answer)["tool_calls"]
        assert (first["id"], first["function"]) == ("a", {"name": "f", "arguments": "{}"})
        assert second["id"]
        assert second["function"] == {"name": "g", "arguments": "{}"}

    async def test_whole_calls_without_ids(self) -> None:
        parts = [{"index": 0, "function": {"name": n, "arguments": '{"a":1}'}} for n in "fgf"]

        answer = await fed(frames(*(delta(tool_calls=[p]) for p in parts), STOP), stream=True)

        calls = message_of(answer)["tool_calls"]
        assert [call["function"]["name"] for call in calls] == ["f", "g", "f"]
        assert len({call["id"] for call in calls}) == 3

    async def test_a_name_that_is_repeated_begins_no_call(self) -> None:
        parts = ["", '{"a"', ":1}", ""]

        answer = await fed(
            frames(
                *(
                    delta(
                        tool_calls=[
                            {"index": 0, "id": "a", "function": {"name": "f", "arguments": p}}
                        ]
                    )
                    for p in parts
                ),
                STOP,
            ),
            stream=True,
        )

        (call,) = message_of(answer)["tool_calls"]
        assert call["function"]["arguments"] == '{"a":1}'

    async def test_arguments_as_an_object(self) -> None:
        """X5"""
        part = {"index": 0, "id": "a", "function": {"name": "f", "arguments": {"a": 1}}}
        chunks = Chunks()

        answer = await fed(frames(delta(tool_calls=[part]), STOP), stream=True, chunks=chunks)

        assert chunks.all[0][0]["choices"][0]["delta"]["tool_calls"] == [part]
        (call,) = message_of(answer)["tool_calls"]
        assert call["function"]["arguments"] == '{"a":1}'


class TestLargePieces:
    async def test_one_event_of_megabytes_is_handed_on_in_pieces(self) -> None:
        """X7"""
        text = "word " * 500_000
        raw = frames(delta(content=text), STOP)
        chunks = Chunks()

        answer = await fed(
            *[raw[at : at + 65_536] for at in range(0, len(raw), 65_536)],
            stream=True,
            chunks=chunks,
        )

        assert answer.text == chunks.text == text
        assert max(len(orjson.dumps(chunk)) for chunk, _ in chunks.all) < 400_000


class TestOtherFields:
    async def test_reasoning_and_audio_are_kept(self) -> None:
        detail = {"type": "reasoning.text", "index": 0}
        parts = [
            delta(reasoning="a", reasoning_details=[{**detail, "text": "a"}]),
            delta(reasoning="b", reasoning_details=[{**detail, "text": "b", "signature": "s"}]),
            delta(audio={"id": "1", "data": "x", "transcript": "t"}),
            delta(audio={"data": "y"}),
        ]

        message = message_of(await fed(frames(*parts, STOP), stream=True))

        assert message["reasoning"] == "ab"
        assert message["reasoning_details"] == [{**detail, "text": "ab", "signature": "s"}]
        assert message["audio"] == {"id": "1", "data": "xy", "transcript": "t"}


class TestUsage:
    """Nothing that an endpoint counts is trusted without bound."""

    async def both(self, usage: Any, **asked_for: Any) -> list[Answer]:
        whole = text({**WHOLE, "usage": usage})
        streamed = frames(HI, {**STOP, "usage": usage})
        return [
            await fed(whole, call=asked(**asked_for)),
            await fed(streamed, call=asked(stream=True, **asked_for)),
        ]

    @pytest.mark.parametrize(
        ("usage", "counts"),
        [
            ({"prompt_tokens": 12, "completion_tokens": 3}, (12, 3)),
            ({"prompt_tokens": 12.0, "completion_tokens": "3"}, (12, 3)),
            ({"input_tokens": 12, "output_tokens": 3}, (12, 3)),
        ],
    )
    async def test_counts_beside_choices_count(self, usage: Any, counts: tuple[int, int]) -> None:
        """A26"""
        for answer in await self.both(usage):
            assert (answer.prompt_tokens, answer.completion_tokens) == counts
            assert not answer.estimated

    async def test_zeros_beside_text_are_not_reported(self) -> None:
        """A26"""
        whole, streamed = await self.both({"prompt_tokens": 0, "completion_tokens": 0})

        assert (whole.prompt_tokens, whole.completion_tokens) == (None, None)
        assert (streamed.prompt_tokens, streamed.completion_tokens) == (None, 1)

    @pytest.mark.parametrize("count", [2_000_000_000, 1e308, "9" * 5000, 10**15])
    async def test_impossible_counts_are_unknown(self, count: Any) -> None:
        """X8"""
        usage = {"prompt_tokens": count, "completion_tokens": count}

        for answer in await self.both(usage):
            assert answer.prompt_tokens is None
            assert answer.completion_tokens in (None, 1)
            assert answer.estimated

    @pytest.mark.parametrize("asked_for", [{"max_tokens": 10**12}, {"n": 10**6}])
    async def test_no_client_raises_the_bound(self, asked_for: dict[str, int]) -> None:
        """X8: PostgreSQL's integers end at 2,147,483,647; a larger count crashed the job."""
        usage = {"prompt_tokens": 3, "completion_tokens": 3_000_000_000}

        for answer in await self.both(usage, **asked_for):
            assert answer.completion_tokens in (None, 1)
            assert answer.estimated

    @pytest.mark.parametrize("count", [-1, None, "x", 1.5, True, [], {}])
    async def test_what_is_no_count_is_unknown(self, count: Any) -> None:
        for answer in await self.both({"prompt_tokens": count, "completion_tokens": 3}):
            assert (answer.prompt_tokens, answer.completion_tokens) == (None, 3)

    async def test_hidden_reasoning_is_bounded_by_the_requests_limit(self) -> None:
        usage = {"prompt_tokens": 5, "completion_tokens": 5000}

        for answer in await self.both(usage):
            assert answer.completion_tokens == 5000
        for answer in await self.both(usage, max_tokens=100):
            assert answer.completion_tokens in (None, 1)

    async def test_a_picture_by_its_address_may_be_many_tokens(self) -> None:
        picture = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
        call = asked(messages=[{"role": "user", "content": [picture]}])

        answer = await fed(text({**WHOLE, "usage": {"prompt_tokens": 100_000}}), call=call)

        assert answer.prompt_tokens == 100_000

    async def test_the_usage_in_the_body_stays_as_it_was_sent(self) -> None:
        usage = {"prompt_tokens": 2_000_000_000, "completion_tokens": 0}

        for answer in await self.both(usage):
            assert orjson.loads(answer.body)["usage"] == usage
