"""Large embeddings, handed on without being read number by number."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from balancing.calls.skimming import is_whole, skim
from balancing.errors import Broken
from tests.unit.balancing.calls.fed import asked, fed

NUMBERS = ",".join("-0.0123456789" for _ in range(1000)).encode()
LARGE = b",".join(b'{"embedding":[' + NUMBERS + b"]}" for _ in range(100))
USAGE = b'"usage":{"prompt_tokens":7}'


@pytest.mark.parametrize(
    ("text", "members"),
    [
        (b'{"data":[{"embedding":[1,2]}],"usage":{"a":1}}', {"usage": {"a": 1}}),
        (b' { "id" : "\\"x\\\\" , "data" : [ {"embedding":"AA=="} ] } \n', {"id": '"x\\'}),
        (b'{"n":-1.5e3,"t":true,"data":[{"embedding":[1],"o":"N]}"}]}', {"n": -1500.0, "t": True}),
    ],
)
def test_members_are_found(text: bytes, members: dict[str, Any]) -> None:
    skimmed = skim(text)

    assert skimmed is not None
    assert {name: skimmed.value(name) for name in members} == members
    assert orjson.loads(skimmed.written({})) == orjson.loads(text)


def test_values_are_replaced() -> None:
    skimmed = skim(b'{"id":"a","model":"x","data":[{"embedding":[1]}],"z":1}')

    assert skimmed is not None
    assert skimmed.written({"model": "m", "id": "b"}) == (
        '{"id":"b","model":"m","data":[{"embedding":[1]}],"z":1}'
    )


@pytest.mark.parametrize(
    "text",
    [
        b'{"data":[]}',
        b'{"data":[{"embedding":[]}]}',
        b'{"data":[{"embedding":[NaN]}]}',
        b'{"data":[{"embedding":[1]}],"error":{}}',
        b'{"data":{"embedding":[1]}}',
        b'{"data":[{"embedding":[1]}]',
        b'{"data":[{"embedding":[1]}]} x',
        b'{"data":[{"embedding":[1}]]}',
        b'{"data":[{"embedding":[1]}] "a":1}',
        b'{"choices":[]}',
        b"[1]",
        b"",
        b'{"a',
        b"{]}",
    ],
)
def test_everything_else_is_read_in_full(text: bytes) -> None:
    assert skim(text) is None


async def test_a_large_answer_is_handed_on_as_it_came() -> None:
    """X6"""
    raw = b'{"object":"list","data":[' + LARGE + b'],"model":"m",' + USAGE + b"}"

    answer = await fed(
        *[raw[at : at + 65_536] for at in range(0, len(raw), 65_536)], call=asked("embedding")
    )

    assert answer.body == raw.decode()
    assert answer.prompt_tokens == 7


@pytest.mark.parametrize("odd", [b'"x":NaN,', b'"x":"\xff",'])
async def test_a_large_answer_that_is_no_json_is_mended(odd: bytes) -> None:
    """X18"""
    raw = b"{" + odd + b'"data":[' + LARGE + b"]," + USAGE + b"}"

    answer = await fed(raw, call=asked("embedding"))

    assert len(orjson.loads(answer.body)["data"]) == 100


async def test_a_large_answer_that_breaks_off() -> None:
    with pytest.raises(Broken):
        await fed(b'{"data":[' + LARGE, call=asked("embedding"), breaks=True)


async def test_a_large_chat() -> None:
    """X6"""
    text = "word \u00e9 " * 300_000
    raw = orjson.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]})

    assert (await fed(raw)).text == text


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        (b' {"a": ["]", {"b": "\\"}"}]} \n', True),
        (b'{"a": [1, 2]', False),
        (b'{"a": "b}', False),
        (b'{"a": 1} {', False),
        (b"", False),
    ],
)
def test_whether_brackets_are_closed(text: bytes, whole: bool) -> None:
    """Asked of large answers whose end does not come, without a pause for others."""
    assert is_whole(text) is whole


@pytest.mark.parametrize("cut", [0, 1])
async def test_a_large_answer_whose_end_does_not_come(cut: int) -> None:
    text = b'{"choices":[{"message":{"content":"' + b"a" * 2_000_000 + b'"},"index":0}]}'
    parts = [text[: len(text) - cut], text[len(text) - cut :]]

    answer = await fed(*parts, silent=True)

    assert len(answer.text) == 2_000_000
