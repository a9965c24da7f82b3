"""Takes OpenAI's messages apart into texts, images, files and tool calls."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from balancing.kinds.shape import Json, unsupported

_DATA_URL = re.compile(
    r"data:([\w.+-]+/[\w.+*-]+|image)?(?:;[\w=.+-]+)*;base64,(.*)", re.DOTALL | re.IGNORECASE
)
_AUDIO = {"wav": "audio/wav", "mp3": "audio/mp3"}
# Names that browsers and phones give to types that providers know by one name only.
_SAME_TYPES = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
# How the data of a file without a type begins, in base64.
_BEGINNINGS = {
    "/9j/": "image/jpeg",
    "iVBORw0KGgo": "image/png",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
    "JVBERi": "application/pdf",
}
_NO_TYPES = ("", "image", "image/*", "application/octet-stream", "binary/octet-stream")
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
    # Some clients leave the type out, or use the names of the Responses API.
    match part.get("type") or ("text" if "text" in part else None):
        case "text" | "input_text" | "output_text":
            return Text(_string(part["text"] or ""), part.get("cache_control"))
        case "refusal":
            return Text(_string(part["refusal"] or ""))
        case "image_url" | "input_image":
            image = part["image_url"]
            return _media(image["url"] if isinstance(image, dict) else image, "image/*")
        case "input_audio":
            audio = part["input_audio"]
            return Media(_AUDIO[audio["format"]], data=_string(audio["data"]))
        case "file" if "file_data" in part["file"]:
            return _media(part["file"]["file_data"], "application/pdf")
    return None


def _media(url: str, unknown_type: str) -> Media:
    url = _string(url).strip()
    if url.startswith(tuple(_BEGINNINGS)):
        url = f"data:;base64,{url}"
    if found := _DATA_URL.fullmatch(url):
        data = _strict_base64(found[2])
        return Media(_type_of((found[1] or "").lower(), data), data=data)
    if url.startswith(("https://", "http://")):
        return Media(unknown_type, url=url)
    raise unsupported("an image or a file is a data URL in base64, or an https URL")


def _strict_base64(data: str) -> str:
    """Base64 without line ends, in the usual alphabet, filled up: providers take no other."""
    if "\n" in data or "\r" in data or " " in data:
        data = "".join(data.split())
    if "-" in data or "_" in data:
        data = data.replace("-", "+").replace("_", "/")
    return data + "=" * (-len(data) % 4)


def _type_of(told: str, data: str) -> str:
    """The type by its common name; a file that names none is known by how it begins."""
    if told not in _NO_TYPES:
        return _SAME_TYPES.get(told, told)
    return next((kind for begins, kind in _BEGINNINGS.items() if data.startswith(begins)), told)


def require_type(media: Media, taken: Collection[str], provider: str) -> None:
    """Refuse a file whose type the provider does not take.

    Raises:
        Refused: with the types that it takes.
    """
    if media.type not in taken:
        names = ", ".join(sorted(taken))
        told = media.type or "a file without a type"
        raise unsupported(f"{provider} takes no {told}; it takes {names}", "messages")


def arguments_of(call: Json) -> Json:
    """The arguments of a tool call as an object.

    Providers that want an object refuse text that is none, such as arguments that were cut off at
    the token limit. That text is sent as the only field of an object, `_raw`.
    """
    given = call["function"].get("arguments") or "{}"
    if isinstance(given, dict):
        return given
    try:
        found = orjson.loads(_string(given))
    except orjson.JSONDecodeError:
        found = None
    return found if isinstance(found, dict) else {"_raw": given}


def functions(body: Json) -> list[Json]:
    """The functions that the model may call.

    Raises:
        Refused: a tool is not a function.
    """
    if body.get("functions"):
        raise unsupported("use tools: functions are OpenAI's of 2023", "functions")
    return [_function(tool) for tool in body.get("tools") or ()]


def _function(tool: Json) -> Json:
    function = tool.get("function")
    if tool.get("type", "function") == "function":
        # The Responses API has its fields beside the type.
        function = tool if function is None else function
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            return function
        raise unsupported("a tool is a function with a name", "tools")
    raise unsupported(f"the model's provider has no tool {tool.get('type')!r}", "tools")


def tool_choice(body: Json, provider: str) -> tuple[str, str] | None:
    """The choice of tools: `auto`, `none` or `required` and no name, or `tool` and its name.

    Mistral's and Anthropic's ways to write it are read, too.

    Raises:
        Refused: the provider has no such choice.
    """
    match body.get("tool_choice"):
        case None:
            return None
        case "auto" | "none" | "required" as mode:
            return mode, ""
        case {"type": "auto" | "none" | "required" as mode}:
            return mode, ""
        case "any" | {"type": "any"}:
            return "required", ""
        case {"type": "function", "function": {"name": str(name)}}:
            return "tool", name
        case {"type": "function" | "tool", "name": str(name)}:
            return "tool", name
    raise unsupported(f"{provider} has no such choice of tools", "tool_choice")


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text is expected")
    return value
