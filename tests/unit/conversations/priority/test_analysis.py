"""What is said of a text at a glance, and that it says nothing rather than guess."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversations.priority.analysis import analyse


@pytest.mark.parametrize(
    ("text", "script", "language"),
    [
        ("What is the capital of France?", "latin", "en"),
        ("Wie komme ich mit dem Zug nach Berlin und was kostet das", "latin", "de"),
        ("Quelle est la capitale de la France et que faire là", "latin", "fr"),
        ("¿Cómo se dice eso en la lengua de los incas?", "latin", "es"),
        ("Перескажи мне это как для детей", "cyrillic", "ru"),
        ("Розкажи мені що це і як", "cyrillic", "uk"),  # noqa: RUF001 - not Latin
        ("今天天气很好。", "han", "zh"),
        ("これは日本語の文章です。", "kana", "ja"),
        ("안녕하세요", "hangul", "ko"),
        ("Γειά σου", "greek", "el"),  # noqa: RUF001 - not Latin
        ("hello", "latin", None),
        ("Дела", "cyrillic", None),
        ("नमस्ते", "devanagari", None),
        ("12345 !!! 🙂", None, None),
        ("", None, None),
    ],
)
def test_a_language_is_named_where_it_is_plain(
    text: str, script: str | None, language: str | None
) -> None:
    found = analyse(text)

    assert (found["script"], found["language"]) == (script, language)


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("Is it late?", True),
        ('He said "why?" and left', True),
        ("how do I reset the password", True),
        ("¿Qué hora es", True),
        ("今天天气怎么样", True),
        ("你好吗。", True),
        ("今何時ですか。", True),
        ("هل هذا صحيح؟", True),
        ("Name three prime numbers.", False),
        ("Open http://a.example/?q=1 now", False),
        ("x = a ?b :c", False),
        ("写一首诗。", False),
        ("", False),
    ],
)
def test_questions(text: str, asks: bool) -> None:
    assert analyse(text)["is_question"] is asks


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("word" * 100, 100), ("文" * 4, 3)]
)
def test_tokens_are_a_quarter_of_the_bytes(text: str, tokens: int) -> None:
    assert analyse(text)["estimated_tokens"] == tokens


@settings(deadline=None)
@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=2000))
def test_any_text_has_an_analysis(text: str) -> None:
    found = analyse(text)

    assert set(found) == {"script", "language", "is_question", "estimated_tokens"}
    assert found["language"] is None or found["script"] is not None


@pytest.mark.parametrize(
    "text", ["?" * 200_000, "a?b" * 60_000, "the of " * 30_000, "文字" * 100_000]
)
def test_the_time_is_bounded(text: str) -> None:
    began = time.perf_counter()
    analyse(text)

    # Measured: about 1 ms.
    assert time.perf_counter() - began < 0.5
