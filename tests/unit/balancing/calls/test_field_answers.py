"""Random answers, laid out, cut, labelled and broken at random, against a second reader.

The second reader follows the rules of WHATWG to the letter, with the standard library's JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from dataclasses import dataclass, field
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from balancing.calls.answer import Answer
from balancing.errors import CallError
from tests.field import examples
from tests.unit.balancing.calls.fed import asked, fed
from tests.unit.balancing.calls.scripted import Chunks

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
NAMES = st.sampled_from(["f", "g"])
NOISE = ["", ": ping", "id: 7", "retry: 5", "event: message", "foo: bar", ":"]


@dataclass
class Read:
    """What the second reader found."""

    text: str = ""
    finish: str | None = None
    calls: list[str] = field(default_factory=list)
    done: bool = False


def second_reader(data: bytes) -> Read:
    """The stream by the letter; the end of the bytes ends the last event, too."""
    read = Read()
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    payload: list[str] = []
    for line in [*re.split("\r\n|\n|\r", text), ""]:
        field, _, value = line.partition(":")
        if line == "":
            take("\n".join(payload), read)
            payload = []
        elif field == "data":
            payload.append(value.removeprefix(" "))
    return read


def take(payload: str, read: Read) -> None:
    if read.done or not payload:
        return
    if payload.strip() == "[DONE]":
        read.done = True
        return
    try:
        chunk = json.loads(payload)
    except ValueError:
        return
    for choice in chunk["choices"]:
        delta = choice["delta"]
        read.text += delta.get("content") or ""
        read.finish = choice.get("finish_reason") or read.finish
        for call in delta.get("tool_calls") or ():
            read.calls = ["".join([*read.calls, call["function"]["arguments"]])]


@st.composite
def chunks(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Text, one tool call in pieces, and mostly an end."""
    made: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    made += [{"content": text} for text in draw(st.lists(TEXTS, max_size=5))]
    deltas = [*made]
    arguments = json.dumps({"a": draw(TEXTS)})
    if draw(st.booleans()):
        at = draw(st.integers(1, len(arguments)))
        for place, part in enumerate((arguments[:at], arguments[at:])):
            named = {"name": draw(NAMES)} if not place else {}
            call = {"index": 0, "function": {**named, "arguments": part}}
            deltas.append({"tool_calls": [{**call, "id": "c"} if not place else call]})
    found = [{"choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
    if draw(st.integers(0, 3)):
        end: dict[str, Any] = {"index": 0, "delta": {}}
        end["finish_reason"] = draw(st.sampled_from(["stop", "length"]))
        found.append({"choices": [end]})
    return found


def laid_out(found: list[dict[str, Any]], rng: random.Random) -> bytes:
    """The bytes of a stream in some legal layout."""
    lines: list[str] = []
    for chunk in found:
        lines += rng.choices(NOISE, k=rng.randrange(3))
        text = json.dumps(
            chunk, ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, None, 1])
        )
        space = rng.choice(["", " "])
        lines += [f"data:{space}{line}" for line in text.split("\n")] + [""]
        lines += rng.choice([[], [""], ["data", ""], ["data:", ""]])
    if rng.random() < 0.5:
        lines += ["data: [DONE]", ""]
    text = ""
    for line in lines:
        # Behind a CR a LF would be part of the same line end.
        ends = ["\r\n", "\r"] if not line and text.endswith("\r") else ["\n", "\r\n", "\r"]
        text += line + rng.choice(ends)
    return rng.choice([b"", b"\xef\xbb\xbf"]) + text.encode()


def cut(raw: bytes, rng: random.Random) -> list[bytes]:
    places = sorted(rng.randrange(len(raw) + 1) for _ in range(rng.randrange(9)))
    return [raw[a:b] for a, b in zip([0, *places], [*places, len(raw)], strict=True)]


def answer_to(parts: list[bytes], seen: Chunks, *, stream: bool, **options: Any) -> Answer | None:
    """What is read; None for a failure. Nothing but a CallError may come of any bytes."""
    try:
        call = asked(options.pop("api", "chat"), stream=stream)
        return asyncio.run(fed(*parts, call=call, chunks=seen, **options))
    except CallError:
        return None


@settings(max_examples=examples(80, 2_500), deadline=None)
@given(chunks(), st.integers(0, 2**32), st.booleans())
def test_a_stream_reads_like_the_second_reader_reads_it(
    found: list[dict[str, Any]], seed: int, stream: bool
) -> None:
    rng, seen = random.Random(seed), Chunks()
    raw = laid_out(found, rng)
    if rng.random() < 0.4:
        raw = raw[: rng.randrange(len(raw) + 1)]
    expected = second_reader(raw)
    end = {"labelled": rng.random() < 0.5, "breaks": rng.random() < 0.5}

    answer = answer_to(cut(raw, rng), seen, stream=stream, **end)

    said = expected.text or expected.calls or expected.finish
    assert (answer is not None) == bool(expected.finish or (expected.done and said))
    if answer is not None:
        (choice,) = orjson.loads(answer.body)["choices"]
        calls = choice["message"].get("tool_calls") or ()
        assert choice["finish_reason"] == expected.finish
        assert answer.text == expected.text
        assert [c["function"]["arguments"] for c in calls] == expected.calls
        assert not stream or seen.text == expected.text


FIELDS = ["choices", "message", "delta", "content", "text", "index", "finish_reason", "error"]
FIELDS += ["tool_calls", "function", "arguments", "id", "name", "usage", "prompt_tokens", "data"]
FIELDS += ["completion_tokens", "logprobs", "embedding", "object", "detail", "type", "thinking"]
FIELDS += ["model", "reasoning_details", "candidates", "parts", "role"]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["\ud83d", "\ude00", "stop"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=examples(120, 2_500), deadline=None)
@given(
    st.lists(JSON, min_size=1, max_size=3),
    st.sampled_from(["whole", "events", "lines", "choices"]),
    st.sampled_from(["chat", "completion", "embedding"]),
    st.sampled_from(["openai", "openai", "anthropic", "gemini"]),
    st.booleans(),
    st.integers(0, 2000),
    st.binary(max_size=3),
)
def test_no_bytes_do_more_than_fail_the_call(
    values: list[Any],
    layout: str,
    api: str,
    kind: str,
    stream: bool,
    at: int,
    odd: bytes,
) -> None:
    stream = stream and api != "embedding"
    if layout == "choices":
        values = [{"choices": [{"index": 0, "delta": v, "finish_reason": "stop"}]} for v in values]
    texts = [json.dumps(value).encode() for value in values]
    if layout in ("events", "choices"):
        raw = b"".join(b"data: " + text + b"\n\n" for text in texts) + b"data: [DONE]\n\n"
    else:
        raw = (b"\n" if layout == "lines" else b"").join(texts)
    raw = raw[:at] + odd + raw[at:]
    seen = Chunks()

    answer = answer_to([raw], seen, stream=stream, api=api, kind=kind)

    if answer is not None:
        json.loads(answer.body.encode())
        answer.text.encode()
