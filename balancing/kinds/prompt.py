"""Takes OpenAI's messages apart into texts, images, files and tool calls."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from balancing.kinds.shape import Json, unsupported

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w=.+-]+)*;base64,(.*)", re.DOTALL)
_AUDIO = {"wav": "audio/wav", "mp3": "audio/mp3"}
SYSTEM_ROLES = ("system", "developer")


@dataclass(frozen=True, slots=True)
class Text:
    """`cache` is Anthropic's `cache_control`; clients of other gateways send it, too."""

    text: str
    cache: Any = None


@dataclass(frozen=True, slots=True)
class Media:
    """An image, a sound or a file: its data in base64, or else its URL."""

    type: str
    data: str = ""
    url: str = ""


def parts(content: Any, param: str) -> Iterator[Text | Media]:
    """The parts of a message's content; empty texts are left out.

    Raises:
        Refused: a part has an unknown type.
    """
    if content is None:
        return
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    for place, part in enumerate(content):
        found = _part({"type": "text", "text": part} if isinstance(part, str) else part)
        if found is None:
            name = part.get("type") if isinstance(part, dict) else part
            raise unsupported(
                f"the model's provider takes no part of type {name!r}", f"{param}[{place}]"
            )
        if not isinstance(found, Text) or found.text:
            yield found


def _part(part: Json) -> Text | Media | None:
    match part.get("type"):
        case "text" | "refusal" as kind:
            return Text(_string(part[kind]), part.get("cache_control"))
        case "image_url":
            image = part["image_url"]
            return _media(image["url"] if isinstance(image, dict) else image, "image/*")
        case "input_audio":
            audio = part["input_audio"]
            return Media(_AUDIO[audio["format"]], data=_string(audio["data"]))
        case "file" if "file_data" in part["file"]:
            return _media(part["file"]["file_data"], "application/pdf")
    return None


def _media(url: str, unknown_type: str) -> Media:
    if found := _DATA_URL.fullmatch(url):
        return Media(found[1].lower(), data=found[2])
    if url.startswith(("https://", "http://")):
        return Media(unknown_type, url=url)
    raise unsupported("an image or a file is a data URL in base64, or an https URL")


def text_of(content: Any, param: str) -> str:
    """The text of a content that may hold nothing else.

    Raises:
        Refused: the content holds something else.
    """
    found = list(parts(content, param))
    if not all(isinstance(part, Text) for part in found):
        raise unsupported("this message can only hold text", param)
    return "".join(part.text for part in found if isinstance(part, Text))


def arguments_of(call: Json) -> Json:
    """The arguments of a tool call as an object.

    Raises:
        Refused: the arguments are not a JSON object.
    """
    text = call["function"].get("arguments") or "{}"
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise unsupported("a tool call's arguments must be a JSON object", "messages")
    return found


def functions(body: Json) -> list[Json]:
    """The functions that the model may call.

    Raises:
        Refused: a tool is not a function.
    """
    if body.get("functions"):
        raise unsupported("use tools: functions are OpenAI's of 2023", "functions")
    for tool in body.get("tools") or ():
        if tool.get("type") != "function":
            raise unsupported(f"the model's provider has no tool {tool.get('type')!r}", "tools")
    return [tool["function"] for tool in body.get("tools") or ()]


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text is expected")
    return value
