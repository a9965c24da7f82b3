"""Which priority does a request's content call for? The first rule that matches decides.

A pure policy: no Django, no clock, no input or output. Patterns are RE2's, whose time is linear in
the text whatever the pattern (https://swtch.com/~rsc/regexp/regexp3.html). The limits below keep
the factor small: the worst pattern found within them takes 0.2 s on a text made for it, an ordinary
pattern 0.1 ms.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

import re2

MATCHED_CHARS = 20_000
MOST_RULES = 200
MOST_WORDS = 100
LONGEST_WORD = 100
LONGEST_PATTERN = 500
# Instructions of a compiled pattern: they bound the cost of a step of RE2's slow engine.
LARGEST_PROGRAM = 1_500
_PATTERN_BYTES = 1024 * 1024
_WORDS_BYTES = 8 * 1024 * 1024
# The characters of words in scripts that put spaces between words.
_SPACED = r"\p{Latin}\p{Greek}\p{Cyrillic}\p{Armenian}\p{Hebrew}\p{Arabic}\p{Nd}\pM_"
_BEFORE, _AFTER = f"(?:^|[^{_SPACED}])", f"(?:$|[^{_SPACED}])"
_SPACED_LETTER = re2.compile(f"[{_SPACED}]")

# Which parts of a condition each kind of rule has.
KINDS: dict[str, tuple[str, ...]] = {
    "keyword": ("words",),
    "regex": ("pattern",),
    "length": ("min_chars", "max_chars"),
    "metadata": ("metadata_key", "metadata_value"),
}


class BadRule(ValueError):
    """`field` names the part of the condition that is not valid."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


@dataclass(frozen=True, slots=True)
class Subject:
    """What rules match.

    Attributes:
        head: the first `MATCHED_CHARS` characters of the text, in UTF-8.
        chars: the length of the whole text.
        metadata: the client's.
    """

    head: bytes
    chars: int
    metadata: Mapping[str, Any]


Test = Callable[[Subject], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """When a rule matches; only the parts of its kind (`KINDS`) count."""

    kind: str
    words: tuple[str, ...] = ()
    pattern: str = ""
    min_chars: int | None = None
    max_chars: int | None = None
    metadata_key: str = ""
    metadata_value: str = ""

    def shown(self) -> str:
        """In one line, for people."""
        parts = {name: getattr(self, name) for name in KINDS.get(self.kind, ())}
        return ", ".join(
            f"{name} {', '.join(value) if isinstance(value, tuple) else value}"
            for name, value in parts.items()
            if value not in (None, "", ())
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition and the level that it calls for; `tenant_id` None is every tenant."""

    name: str
    level: int
    tenant_id: UUID | None
    matches: Test


class Rulebook:
    """All enabled rules in order, and those of each tenant."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        ordered = tuple(rules)
        self._shared = tuple(rule for rule in ordered if rule.tenant_id is None)
        self._own = {
            tenant_id: tuple(rule for rule in ordered if rule.tenant_id in (None, tenant_id))
            for tenant_id in {rule.tenant_id for rule in ordered} - {None}
        }

    def of(self, tenant_id: UUID) -> tuple[Rule, ...]:
        """The rules for a tenant's requests, in order."""
        return self._own.get(tenant_id, self._shared)


def subject(text: str, metadata: Mapping[str, Any] | None = None) -> Subject:
    return Subject(text[:MATCHED_CHARS].encode(errors="replace"), len(text), metadata or {})


def first(rules: Sequence[Rule], about: Subject) -> Rule | None:
    """The first rule that matches."""
    return next((rule for rule in rules if rule.matches(about)), None)


@lru_cache(maxsize=2 * MOST_RULES)
def compiled(condition: Condition) -> Test:
    """The condition as a function; made once.

    Raises:
        BadRule: it is incomplete, contradicts itself, or asks for too much.
    """
    if condition.kind not in _MAKERS:
        raise BadRule("kind", f"one of {', '.join(KINDS)}")
    try:
        return _MAKERS[condition.kind](condition)
    except UnicodeEncodeError:
        raise BadRule(KINDS[condition.kind][0], "not valid Unicode") from None


def _keyword(condition: Condition) -> Test:
    words = [" ".join(word.split()) for word in condition.words]
    words = [word for word in words if word]
    if not words:
        raise BadRule("words", "at least one keyword")
    if len(words) > MOST_WORDS:
        raise BadRule("words", f"at most {MOST_WORDS} keywords")
    if any(len(word) > LONGEST_WORD for word in words):
        raise BadRule("words", f"a keyword has at most {LONGEST_WORD} characters")
    return _searching(_regexp("words", f"(?i:{_any_of(words)})", _WORDS_BYTES))


def _any_of(words: Iterable[str]) -> str:
    """Keywords as one pattern; of whole words in scripts that put spaces between words.

    Keywords with the same edges share them: a hundred copies of a Unicode class are slow.
    """
    groups: dict[tuple[bool, bool], list[str]] = {}
    for word in words:
        text = r"\s+".join(re2.escape(part) for part in word.split(" "))
        groups.setdefault((_has_edges(word[0]), _has_edges(word[-1])), []).append(text)
    return "|".join(
        f"{_BEFORE if before else ''}(?:{'|'.join(texts)}){_AFTER if after else ''}"
        for (before, after), texts in groups.items()
    )


def _has_edges(letter: str) -> bool:
    return _SPACED_LETTER.fullmatch(letter) is not None


def _regex(condition: Condition) -> Test:
    if not condition.pattern:
        raise BadRule("pattern", "a regular expression")
    if len(condition.pattern) > LONGEST_PATTERN:
        raise BadRule("pattern", f"at most {LONGEST_PATTERN} characters")
    found = _regexp("pattern", condition.pattern, _PATTERN_BYTES)
    if found.programsize > LARGEST_PROGRAM:
        raise BadRule(
            "pattern", "too costly: use shorter repetitions and fewer Unicode classes such as \\pL"
        )
    if found.search(b""):
        raise BadRule("pattern", "it matches every text; a length rule from 0 says so better")
    return _searching(found)


def _regexp(field: str, pattern: str, memory_bytes: int) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = memory_bytes
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "not valid"
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise BadRule(field, f"RE2 does not take it: {text}") from None


def _searching(regexp: Any) -> Test:
    return lambda about: regexp.search(about.head) is not None


def _length(condition: Condition) -> Test:
    low, high = condition.min_chars, condition.max_chars
    if low is None and high is None:
        raise BadRule("min_chars", "a least or a greatest number of characters")
    if low is not None and high is not None and low > high:
        raise BadRule("max_chars", "less than min_chars")
    least, most = low or 0, float("inf") if high is None else high
    return lambda about: least <= about.chars <= most


def _metadata(condition: Condition) -> Test:
    key, wanted = condition.metadata_key, condition.metadata_value
    if not key:
        raise BadRule("metadata_key", "the name of a metadata field")
    if not wanted:
        return lambda about: key in about.metadata
    return lambda about: wanted in _texts(about.metadata.get(key))


def _texts(value: Any) -> Iterator[str]:
    """A value, or each value of a list, as JSON writes it; text without its quotes."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str):
            yield each
        elif each is not None and not isinstance(each, (dict, list)):
            yield json.dumps(each)


_MAKERS: dict[str, Callable[[Condition], Test]] = {
    "keyword": _keyword,
    "regex": _regex,
    "length": _length,
    "metadata": _metadata,
}
