"""A whole answer as the chunks of a stream, for clients that asked for one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from balancing.calls.answer import Piece

Json = dict[str, Any]
# A text that comes in one huge piece is handed on in pieces of so many characters.
PIECE_CHARACTERS = 256 * 1024


def chunks_of(whole: Json, api: str) -> Iterator[tuple[Json, Piece]]:
    """The content, the finish reasons, and the usage where there is one.

    Args:
        api: a key of `APIS`; completions have chunks of their own.
    """
    legacy = api == "completion"
    name = "text_completion" if legacy else "chat.completion.chunk"
    head = {k: v for k, v in whole.items() if k not in ("choices", "usage")} | {"object": name}
    choices = [choice for choice in whole.get("choices") or () if isinstance(choice, dict)]
    content = [_content(choice, place, legacy=legacy) for place, choice in enumerate(choices)]
    yield {**head, "choices": content}, Piece.CONTENT
    nothing: Json = {"text": ""} if legacy else {"delta": {}}
    ends = [
        {"index": part["index"], **nothing, "finish_reason": choice["finish_reason"]}
        for part, choice in zip(content, choices, strict=True)
        if choice.get("finish_reason")
    ]
    if ends:
        yield {**head, "choices": ends}, Piece.CONTENT
    if whole.get("usage"):
        yield {**head, "choices": [], "usage": whole["usage"]}, Piece.USAGE


def _content(choice: Json, place: int, *, legacy: bool) -> Json:
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    index = choice.get("index")
    part: Json = {"index": place if index is None else index}
    if legacy:
        part["text"] = choice.get("text") or message.get("content") or ""
    else:
        part["delta"] = _delta(message, choice)
    return {**part, "logprobs": choice.get("logprobs"), "finish_reason": None}


def _delta(message: Json, choice: Json) -> Json:
    delta = {"role": "assistant", **message}
    if not message and choice.get("text"):
        delta["content"] = choice["text"]
    if isinstance(delta.get("tool_calls"), list):
        calls = [call for call in delta["tool_calls"] if isinstance(call, dict)]
        delta["tool_calls"] = [{"index": n, **call} for n, call in enumerate(calls)]
    return delta


def text_of(whole: Json) -> str:
    """The text of the first choice; of a list of parts, that of its text parts."""
    choices = whole.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return ""
    message = choices[0].get("message")
    text = message.get("content") if isinstance(message, dict) else choices[0].get("text")
    if isinstance(text, list):
        texts = [part.get("text") for part in text if isinstance(part, dict)]
        text = "".join(each for each in texts if isinstance(each, str))
    return text if isinstance(text, str) else ""


def parts_of(chunk: Json) -> Iterator[Json]:
    """A chunk with a huge text, or a call with huge arguments, as several: readers have limits."""
    choices = chunk["choices"]
    delta = choices[0].get("delta") if len(choices) == 1 else None
    huge = _huge(delta) if isinstance(delta, dict) else {}
    if not huge or not isinstance(delta, dict):
        yield chunk
        return
    first, index = choices[0], choices[0].get("index")
    parts: list[Json] = [{**delta, **{name: _without(delta[name]) for name in huge}}]
    for name, text in huge.items():
        for at in range(0, len(text), PIECE_CHARACTERS):
            part = text[at : at + PIECE_CHARACTERS]
            parts.append({name: _call(delta[name], part) if name == "tool_calls" else part})
    for each in parts:
        yield {**chunk, "choices": [{"index": index, "delta": each, "finish_reason": None}]}
    yield {**chunk, "choices": [{**first, "delta": {}}]}


def _huge(delta: Json) -> dict[str, str]:
    texts = {name: text for name, text in delta.items() if isinstance(text, str)}
    calls = delta.get("tool_calls")
    if isinstance(calls, list) and len(calls) == 1 and isinstance(calls[0], dict):
        arguments = (calls[0].get("function") or {}).get("arguments")
        if isinstance(arguments, str):
            texts["tool_calls"] = arguments
    return {name: text for name, text in texts.items() if len(text) > PIECE_CHARACTERS}


def _without(value: Any) -> Any:
    if isinstance(value, str):
        return ""
    function = {**value[0]["function"], "arguments": ""}
    return [{**value[0], "function": function}]


def _call(calls: Any, part: str) -> list[Json]:
    return [{"index": calls[0].get("index", 0), "function": {"arguments": part}}]
