"""Which fields of a request are read otherwise than they were sent? Where the meaning is plain.

Programs send `256.0`, "0.7", "true", null, "" and [] where OpenAI's API has a number, a flag, or no
field at all. Endpoints differ in what they take, so they get the plain form. A value without a
plain meaning stays as it is: the door or the endpoint refuses it. docs/api.md has the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from scheduling.models import Api

_NUMBER = re.compile(r"[+-]?\d{1,15}(\.\d{0,15})?", re.ASCII)
_WORDS = {"true": True, "1": True, "false": False, "0": False}
# Doubles are exact up to here.
MOST_EXACT = 2**53


def mended(fields: Mapping[str, Any], api: Api) -> dict[str, Any]:
    """The fields of a request, each in its plain form; without those that say nothing."""
    found = {}
    for name, value in fields.items():
        read = _READERS.get(name)
        if read is not None:
            if value is None or value == "" or (value == [] and read is _collection):
                continue
            value = read(value)
            if value is None:
                continue
        found[name] = value
    if api == Api.CHAT:
        _drop_lonely(found, "tools", "tool_choice", "parallel_tool_calls")
        _drop_lonely(found, "functions", "function_call")
    if isinstance(messages := found.get("messages"), list):
        found["messages"] = [_message(each) for each in messages]
    return found


def number(value: Any) -> Any:
    """A number that was sent as text; whole ones without a fraction. Other values as they are."""
    if isinstance(value, str) and _NUMBER.fullmatch(text := value.strip()):
        value = float(text) if "." in text else int(text)
    if isinstance(value, float) and value.is_integer() and abs(value) < MOST_EXACT:
        return int(value)
    return value


def flag(value: Any) -> Any:
    """True or false, also sent as 1, 0 or text. Other values as they are."""
    if isinstance(value, str):
        return _WORDS.get(value.strip().lower(), value)
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else value


def _decimal(value: Any) -> Any:
    return number(value) if isinstance(value, str) else value


def _text(value: Any) -> Any:
    """A name that was sent as a number, such as a row's id."""
    return _written(value) if _is_number(value) else value


def _collection(value: Any) -> Any:
    return value


def _stop(value: Any) -> Any:
    """Stop sequences; an empty one would stop at once or nowhere."""
    if isinstance(value, list):
        return [each for each in value if each not in ("", None)] or None
    return value


def _message(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    empty = [name for name, values in _EMPTY.items() if name in message and message[name] in values]
    content = message.get("content")
    if not empty and (content is None or isinstance(content, str | list)):
        return message
    found = {name: value for name, value in message.items() if name not in empty}
    if _is_number(content):
        found["content"] = _written(content)
    elif isinstance(content, dict) and isinstance(content.get("type"), str):
        found["content"] = [content]
    return found


def _drop_lonely(fields: dict[str, Any], what: str, choice: str, other: str = "") -> None:
    """How to use tools says nothing where there are none, and OpenAI refuses it."""
    if what in fields:
        return
    fields.pop(other, None)
    if fields.get(choice) in ("none", "auto"):
        del fields[choice]


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _written(value: int | float) -> str:
    return str(number(value))


# What says nothing in a message: it is left out.
_EMPTY: Mapping[str, tuple[Any, ...]] = {
    "name": ("", None),
    "tool_calls": ([], None),
    "tool_call_id": (None,),
    "function_call": (None,),
}
_READERS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(
        (
            "max_tokens",
            "max_completion_tokens",
            "n",
            "best_of",
            "seed",
            "top_logprobs",
            "dimensions",
        ),
        number,
    ),
    **dict.fromkeys(("temperature", "top_p", "presence_penalty", "frequency_penalty"), _decimal),
    **dict.fromkeys(("stream", "parallel_tool_calls", "store", "echo"), flag),
    **dict.fromkeys(("user", "prompt_cache_key", "safety_identifier"), _text),
    **dict.fromkeys(
        (
            "audio",
            "encoding_format",
            "function_call",
            "functions",
            "logit_bias",
            "logprobs",
            "metadata",
            "modalities",
            "prediction",
            "reasoning_effort",
            "response_format",
            "stream_options",
            "suffix",
            "tool_choice",
            "tools",
            "verbosity",
            "web_search_options",
        ),
        _collection,
    ),
    "stop": _stop,
}
