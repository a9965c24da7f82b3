"""Which field of a request does an endpoint's refusal name, and does it refuse the field as such?

Sources of the wordings: OpenAI ("Unrecognized request argument supplied: x", "Unsupported
parameter: 'x' is not supported with this model"), pydantic behind FastAPI, vLLM and Mistral
(`loc`, or the name on a line of its own: "Extra inputs are not permitted"), Python ("unexpected
keyword argument 'x'"), Groq ("property 'x' is unsupported"), xAI ("does not support
parameter presencePenalty"), Google ("Unknown name "x": Cannot find field", "Penalty is not
enabled"), serde ("unknown field `x`, expected one of ..."), Azure ("Validation error at #/x").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson

from balancing.errors import CallError
from balancing.fitting.fields import (
    FITTED,
    IN_ANY_MESSAGE,
    IN_MESSAGES,
    MESSAGES,
    PENALTIES,
    RENAMED,
    STREAM_OPTIONS,
    may_go,
)

_REFUSALS = frozenset({400, 422})
_CRASHES = frozenset({500, 501})
# Longer texts are read up to here; a text above the second length says something.
LONGEST_READ, LONGEST_OF_NOTHING = 4000, 200
DEEPEST = 8


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A field that may be what is refused.

    Attributes:
        is_of_all: the words refuse the field itself, so that others' requests meet the same.
        is_guess: the refusal names nothing.
    """

    field: str
    is_of_all: bool
    is_guess: bool = False


def suspects(error: CallError, body: Mapping[str, Any]) -> list[Suspicion]:
    """The fields of `body` that the refusal names and that may go; empty if it is about others.

    A crash counts only if it plainly refuses a field; a refusal that says nothing makes the
    `stream_options` suspect, which llmqueue adds to every stream.
    """
    if error.status not in _REFUSALS | _CRASHES:
        return []
    text, roots = _read(error, body)
    found = _named(body, text, roots)
    if not found and not roots and error.status in _REFUSALS and _says_nothing(text):
        return [Suspicion(STREAM_OPTIONS, True, is_guess=True)] if _is_stream(body) else []
    judged = [(field, _judge(words, field, body)) for field, words in found]
    likely = [Suspicion(field, verdict) for field, verdict in judged if verdict is not None]
    is_crash = error.status in _CRASHES
    return [suspect for suspect in likely if suspect.is_of_all or not is_crash]


def _named(body: Mapping[str, Any], text: str, roots: Sequence[str]) -> list[tuple[str, str]]:
    """The fields that the refusal names and that may go, each with the words about it.

    Args:
        roots: fields of the request that are named apart from the text; what is refused within
            the messages is only in the text.
    """
    present = [field for field in sorted(FITTED | IN_ANY_MESSAGE) if may_go(body, field)]
    if any(root != MESSAGES for root in roots):
        return [(field, text) for field in present if field in roots]
    if roots:
        present = [field for field in present if field in IN_ANY_MESSAGE]
    return [(field, words) for field in present for words in _naming(field, text)]


def _is_stream(body: Mapping[str, Any]) -> bool:
    return bool(body.get("stream")) and STREAM_OPTIONS in body


def _read(error: CallError, body: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The text of a refusal, and the fields of the request in its `param` or its `loc` lists."""
    found = _parsed(error.body)
    text = str(error)
    if _says_nothing(text):
        text = "; ".join(_texts(found)) or text
    text = _OWN_LINE.sub(r"; \1: ", text[:LONGEST_READ])
    told = _OFFERED.split(text, maxsplit=1)[0]
    inner = found.get("error", found) if isinstance(found, dict) else None
    param = inner.get("param") if isinstance(inner, dict) else None
    if isinstance(param, str) and _root(param) in body:
        return f"{told}; {param}", [_root(param)]
    locs = [".".join(_WORD.findall(loc)) for loc in _LOC.findall(f"{text} {error.body}")]
    told = "; ".join([told, *locs]) if locs else told
    return told, [root for root in map(_root, locs) if root]


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _texts(found: Any, depth: int = 0) -> Iterator[str]:
    """The texts in an object of any shape, as far as anybody writes them deep."""
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict | list) and depth < DEEPEST:
        for inner in found.values() if isinstance(found, dict) else found:
            yield from _texts(inner, depth + 1)


_LOC = re.compile(r"""\\?["']loc\\?["']\s*:\s*[\[(]([^\])]{1,200})[\])]""")
_WORD = re.compile(r"\w+")
# Pydantic's text: the field on a line, what is wrong with it on the next.
_OWN_LINE = re.compile(r"\n([\w.]{1,200})\n\s+")
# What follows lists what is allowed, or what to use instead.
_OFFERED = re.compile(
    r"\bexpected (?:one of\b|`)|(?<!not )\b(?:allowed|valid|supported|accepted|available|known)"
    r" (?:fields|parameters|params|keys|options|properties|arguments)\b|\bdid you mean\b"
    r"|[,;.(]\s*(?:please |instead,? )?use\b",
    re.IGNORECASE,
)


def _root(name: str) -> str:
    """The field of the request in a path such as `body.stream_options.include_usage`."""
    words = [word for word in re.split(r"[.\[\]/#'\"]+", name) if word not in ("", "body", "$")]
    return words[0] if words else ""


def _naming(field: str, text: str) -> Iterator[str]:
    """The sentence that names the field: judged by it alone where it says enough."""
    for part in map(str.strip, re.split(r"[;\n]|\.\s", text)):
        if _pattern(field).search(part):
            yield part if _REFUSED.search(part) or _OF_A_VALUE.search(part) else text
            return


@cache
def _pattern(field: str) -> re.Pattern[str]:
    """How texts write a field: `top_p`, `topP`, `top p`; an English word only as a name."""
    if field in IN_ANY_MESSAGE:
        note = field.removeprefix(IN_MESSAGES)
        return re.compile(rf"(?:[`'\"]|[.\]]\.?|/){note}\b", re.I)
    if field in PENALTIES:
        return re.compile(rf"{_spelled(field)}|\bpenalt(?:y|ies) (?:is|are) not\b", re.I)
    if "_" in field:
        return re.compile(_spelled(field), re.I)
    quoted = rf"[`'\"\u2018\u201c]{field}(?:[.\[][^`'\"]*)?[`'\"\u2019\u201d]"
    kinds = (
        r"(?:parameter|param|field|argument|property|propertie|key|option|name|supplied|input"
        r"|\u53c2\u6570|\u5b57\u6bb5)s?"
    )
    listed = rf"\b{kinds}\W{{1,4}}(?:(?:[\w.]+)(?:,| and)\s+){{0,12}}{field}\b"
    before = r"(?:^|\bbody\.|#/|\$\.|[(,:>]\s)"
    subject = rf"{before}{field}(?::|\s(?:parameter |field |argument )?(?:is|are)\b)"
    return re.compile(rf"{quoted}|{listed}|{subject}", re.I)


def _spelled(field: str) -> str:
    return r"(?<![A-Za-z0-9_])" + field.replace("_", r"[_\s-]?") + r"(?![A-Za-z0-9_])"


_MUST_BE_ABSENT = re.compile(
    r"must (?:not be|be (?:0|0\.0|zero|null|none|unset|omitted|empty|absent|removed))\b", re.I
)
_OF_A_VALUE = re.compile(
    r"must (?:be|have|contain|match)|should (?:be|have|match)|\btoo (?:long|large|small|many|big"
    r"|high|low|short)|at (?:most|least)|(?:less|greater|longer|more) than|\bbetween\b|maximum"
    r"|minimum|out of range|exceed|invalid (?:value|type)|of type|(?<!un)expected (?:a|an)\b"
    r"|(?<!only )\bone of\b|valid (?:string|integer|number|float|list|dict|boolean|object)"
    r"|is required|missing|could not be parsed",
    re.I,
)
_OF_A_CASE = re.compile(
    r"\bonly one of\b|\b(?:when|unless|if|without|together|along|beside|requires?|both|mutually"
    r"|combin\w*|conjunction|unsupported value)\b",
    re.I,
)
_REFUSED = re.compile(
    r"unsupported|n[o']t (?:be )?(?:\w+ )?(?:support|permit|allow|accept|recogni|enabled|available"
    r"|implement|understood|known)|unrecogni|unknown|unexpected|disallow|forbid|\bextra\b"
    r"|additional|no longer|deprecat|removed|cannot find|no such|(?:not a |in)valid (?:\w+ )?"
    r"(?:param|field|arg|key|propert|option)|n[o']t (?:have|take|know)"
    r"|\bhas no \w+ named\b|could not be mapped"
    # Such as DashScope's and Zhipu's: not supported, unknown, not allowed, invalid.
    r"|\u4e0d\u652f\u6301|\u672a\u77e5|\u4e0d\u5141\u8bb8|\u65e0\u6548",
    re.I,
)


def _judge(words: str, field: str, body: Mapping[str, Any]) -> bool | None:
    """Whether the field is refused as such; None if only its value is, which is the client's."""
    if _MUST_BE_ABSENT.search(words):
        return True
    if field in IN_ANY_MESSAGE:
        return True if _REFUSED.search(words) else None
    if _OF_A_VALUE.search(words):
        return None
    is_of_all = bool(_REFUSED.search(words)) and not _OF_A_CASE.search(words)
    if field == STREAM_OPTIONS:
        # The request that is not a stream is the odd one.
        return is_of_all and _is_stream(body)
    if field in RENAMED and not is_of_all:
        return None
    return is_of_all


_NOTHING = re.compile(
    r"\W*(?:(?:http|error|code|status)?\W*\d{3}\W*)?(?:the endpoint answered \d+|bad request"
    r"|unprocessable(?: entity| content)?|(?:invalid|malformed) (?:request|json|body|payload|input"
    r"|param(?:eter)?s?|arguments?|fields?)(?: (?:body|payload|format|error))?"
    r"|(?:request )?validation (?:error|failed)|(?:unknown|unsupported|unexpected|unrecognized)"
    r" (?:parameter|field|argument|option|key)s?|extra (?:inputs|fields)(?: are)? not permitted"
    r"|error|null|none|invalid_request_error|the endpoint reports an error without a text"
    # Such as Zhipu's: a parameter is wrong, look into the documents.
    r"|[^a-z]{0,10}(?:api)?[^a-z]{0,8}\u53c2\u6570(?:\u6709\u8bef|\u9519\u8bef)[^a-z]{0,12})?\W*",
    re.I,
)


def _says_nothing(text: str) -> bool:
    if len(text) > LONGEST_OF_NOTHING:
        return False
    return all(_NOTHING.fullmatch(part) for part in text.split(";"))
