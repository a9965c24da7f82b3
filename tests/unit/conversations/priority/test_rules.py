"""Rules: what they match, what they refuse, and that no pattern can stop a process."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversations.priority.rules import (
    KINDS,
    LONGEST_PATTERN,
    MATCHED_CHARS,
    MOST_WORDS,
    BadRule,
    Condition,
    Rule,
    Rulebook,
    compiled,
    first,
    subject,
)


def matches(text: str = "", metadata: dict[str, Any] | None = None, **condition: Any) -> bool:
    return compiled(Condition(**condition))(subject(text, metadata))


@pytest.mark.parametrize(
    ("word", "text", "found"),
    [
        ("urgent", "This is URGENT!", True),
        ("urgent", "urgent", True),
        ("urgent", "insurgents are no urgency", False),
        ("urgent", "x_urgent", False),
        ("c++", "I write C++ code", True),
        ("(a", "so (a) is", True),
        ("as soon as possible", "As  soon\nas possible.", True),
        ("über", "ÜBER alles", True),
        ("über", "rüber", False),
        ("thuê", "cho thuê nhà", True),
        ("thu", "cho thuê nhà", False),
        ("vip", "这位VIP客户来了", True),
        ("срочно", "Очень СРОЧНО!", True),
        ("срочно", "несрочное", False),
        ("紧急", "这个问题很紧急吗", True),
        ("急いで", "とても急いでいます", True),
        ("vip客户", "这位VIP客户来了", True),
    ],
)
def test_keywords_are_whole_words_in_any_case(word: str, text: str, found: bool) -> None:
    assert matches(text, kind="keyword", words=("never", word)) is found


def test_one_keyword_of_many_is_enough() -> None:
    words = tuple(f"word{n}" for n in range(MOST_WORDS))

    assert matches("now word99 here", kind="keyword", words=words)
    assert not matches("now word100 here", kind="keyword", words=words)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"order #\d{4,}", "about order #12345", True),
        (r"order #\d{4,}", "about Order #12345", False),
        (r"(?i)^help", "HELP me", True),
        (r"^help$", "help me", False),
        (r"\bSLA\b", "the SLA says", True),
        (r"[一-龥]{3}", "三个字", True),
    ],
)
def test_patterns_are_found_anywhere(pattern: str, text: str, found: bool) -> None:
    assert matches(text, kind="regex", pattern=pattern) is found


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [(None, 5, True), (5, 5, True), (6, None, False), (None, 4, False), (0, None, True)],
)
def test_lengths_are_inclusive(low: int | None, high: int | None, found: bool) -> None:
    assert matches("a文字éz", kind="length", min_chars=low, max_chars=high) is found


def test_lengths_count_all_of_a_long_text_and_patterns_only_its_head() -> None:
    text = "a" * MATCHED_CHARS + " needle"

    assert matches(text, kind="length", min_chars=MATCHED_CHARS + 7)
    assert not matches(text, kind="keyword", words=("needle",))
    assert matches(text[7:], kind="regex", pattern="needle$")


@pytest.mark.parametrize(
    ("value", "wanted", "found"),
    [
        ("gold", "gold", True),
        ("Gold", "gold", False),
        (["silver", "gold"], "gold", True),
        (3, "3", True),
        (2.5, "2.5", True),
        (True, "true", True),
        (None, "null", False),
        ({"gold": 1}, "gold", False),
        ("", "", True),
        (None, "", True),
    ],
)
def test_metadata_is_compared_as_json_writes_it(value: Any, wanted: str, found: bool) -> None:
    condition = {"kind": "metadata", "metadata_key": "tier", "metadata_value": wanted}

    assert matches("", {"tier": value}, **condition) is found
    assert not matches("", {"other": value}, **condition)


@pytest.mark.parametrize(
    ("condition", "field"),
    [
        ({"kind": "weather"}, "kind"),
        ({"kind": "keyword"}, "words"),
        ({"kind": "keyword", "words": (" ", "")}, "words"),
        ({"kind": "keyword", "words": ("w",) * (MOST_WORDS + 1)}, "words"),
        ({"kind": "keyword", "words": ("w" * 101,)}, "words"),
        ({"kind": "keyword", "words": ("\ud800",)}, "words"),
        ({"kind": "regex"}, "pattern"),
        ({"kind": "regex", "pattern": "a" * (LONGEST_PATTERN + 1)}, "pattern"),
        ({"kind": "regex", "pattern": "("}, "pattern"),
        ({"kind": "regex", "pattern": r"(a)\1"}, "pattern"),
        ({"kind": "regex", "pattern": "(?=a)"}, "pattern"),
        ({"kind": "regex", "pattern": "(?:a{1000}){1000}"}, "pattern"),
        ({"kind": "regex", "pattern": ".{1000}.{1000}$"}, "pattern"),
        ({"kind": "regex", "pattern": r"\pL{1,200}"}, "pattern"),
        ({"kind": "regex", "pattern": "a*"}, "pattern"),
        ({"kind": "regex", "pattern": "urgent|"}, "pattern"),
        ({"kind": "regex", "pattern": "\ud800"}, "pattern"),
        ({"kind": "length"}, "min_chars"),
        ({"kind": "length", "min_chars": 5, "max_chars": 4}, "max_chars"),
        ({"kind": "metadata", "metadata_value": "x"}, "metadata_key"),
    ],
)
def test_what_cannot_be_matched_safely_is_refused(condition: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRule) as caught:
        compiled(Condition(**condition))

    assert caught.value.field == field
    assert str(caught.value)


def test_a_condition_is_compiled_once() -> None:
    condition = {"kind": "regex", "pattern": "once"}

    assert compiled(Condition(**condition)) is compiled(Condition(**condition))  # type: ignore[arg-type]


BOOMS = [
    "(x+x+)+y",
    "(a|aa)+$",
    "(?:a|b)*a(?:a|b){200}c",
    "(.*a){20}",
    "a.{150}c",
    "([a-z]{0,9}x){70}q",
]


@pytest.mark.parametrize("pattern", BOOMS)
@pytest.mark.parametrize("text", ["a" * 20_000 + "!", "ab" * 10_000, "x" * 20_000])
def test_patterns_that_ruin_backtracking_engines_are_quick(pattern: str, text: str) -> None:
    about, test = subject(text), compiled(Condition(kind="regex", pattern=pattern))

    began = time.perf_counter()
    test(about)

    # Measured: 0.2 s at most. A backtracking engine needs years for some of these.
    assert time.perf_counter() - began < 2


def test_a_longer_text_takes_no_longer_than_its_head() -> None:
    assert len(subject("文" * 1_000_000).head) == MATCHED_CHARS * 3


conditions = st.builds(
    Condition,
    kind=st.sampled_from([*KINDS, "other"]),
    words=st.lists(st.text(max_size=20), max_size=5).map(tuple),
    pattern=st.text(alphabet="ab.*+?()[]{}|\\^$1,9-:=!iP<>pLé文", max_size=30)
    | st.text(max_size=30),
    min_chars=st.none() | st.integers(0, 10),
    max_chars=st.none() | st.integers(0, 10),
    metadata_key=st.text(max_size=5),
    metadata_value=st.text(max_size=5),
)
documents = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
)


@settings(max_examples=300, deadline=None)
@given(conditions, st.text(st.characters(codec=None, exclude_categories=())), documents)
def test_any_rule_is_refused_or_answers_whatever_the_message(
    condition: Condition, text: str, metadata: dict[str, Any]
) -> None:
    assert isinstance(condition.shown(), str)
    try:
        test = compiled(condition)
    except BadRule as refused:
        assert refused.field in {"kind", *(part for parts in KINDS.values() for part in parts)}  # noqa: PT017
        return

    began = time.perf_counter()
    found = test(subject(text, metadata))

    assert found in (True, False)
    assert time.perf_counter() - began < 2


class TestRulebook:
    def rule(self, name: str, tenant_id: Any = None, word: str = "now") -> Rule:
        return Rule(name, 1, tenant_id, compiled(Condition(kind="keyword", words=(word,))))

    def test_a_tenants_rules_are_its_own_and_everybodys_in_order(self) -> None:
        one, other = uuid4(), uuid4()
        rules = [
            self.rule("a", one),
            self.rule("b"),
            self.rule("c", other),
            self.rule("d", one),
        ]

        rulebook = Rulebook(rules)

        assert [rule.name for rule in rulebook.of(one)] == ["a", "b", "d"]
        assert [rule.name for rule in rulebook.of(other)] == ["b", "c"]
        assert [rule.name for rule in rulebook.of(uuid4())] == ["b"]
        assert Rulebook().of(one) == ()

    def test_the_first_that_matches_decides(self) -> None:
        rules = [self.rule("a", word="later"), self.rule("b"), self.rule("c")]

        found = first(rules, subject("do it now"))

        assert found is rules[1]
        assert first(rules, subject("never")) is None
