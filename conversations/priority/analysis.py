"""What can be said of a text at a glance: script, language, question or not, tokens?

These are rules of thumb for filters and statistics. A language is named only if its script or its
commonest words show it. The functions are pure and take a few milliseconds at most.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

SAMPLE_CHARS = 600
READ_CHARS = 20_000
_BYTES_PER_TOKEN = 4

_SCRIPTS = {
    "latin": "A-Za-z\u00c0-\u024f",
    "han": "\u3400-\u4dbf\u4e00-\u9fff",
    "kana": "\u3040-\u30ff",
    "hangul": "\u1100-\u11ff\uac00-\ud7af",
    "cyrillic": "\u0400-\u04ff",
    "arabic": "\u0600-\u06ff",
    "hebrew": "\u0590-\u05ff",
    "greek": "\u0370-\u03ff",
    "devanagari": "\u0900-\u097f",
    "thai": "\u0e00-\u0e7f",
}
_RUNS = re.compile("|".join(f"(?P<{name}>[{chars}]+)" for name, chars in _SCRIPTS.items()))
# A character of these scripts says as much as a syllable or a word of an alphabet.
_DENSE = {"han": 3, "kana": 2, "hangul": 2}
# Scripts that nearly only one language uses.
_ALONE = {"han": "zh", "kana": "ja", "hangul": "ko", "hebrew": "he", "greek": "el", "thai": "th"}
_COMMON = {
    "en": "the of and to in is that it for you was with on are this what how my have be from not",
    "de": "der die das und ist nicht ein eine ich zu den mit auf für wie was sie im von dem es wir",
    "fr": "le la les des et est un une je que pas pour dans qui sur avec vous du ce ne quel mon",
    "es": "el la los las de y es un una que no por para con se qué cómo en del mi su está lo",
    "it": "il lo gli e di che è un una non per con sono come mi del della cosa nel questo ho da",
    "pt": "o os as de e é um uma que não para com se do da em como você meu por no na isso eu",
    "nl": "de het een en is van ik niet dat op te zijn voor met je wat hoe aan er mijn deze bij",
    "ru": "и в не на что я с он как это по но из у за то же так вы мне для есть или",  # noqa: RUF001 - not Latin
    "uk": "і в не на що я з він як це по але із у за то же так ви мені для є або",  # noqa: RUF001 - not Latin
    "ar": "في من على إلى أن هذا ما هو هل لا التي عن مع كيف",
    "fa": "در به از که این است را با برای آن چه یک می من",
}
_LANGUAGES = {
    "latin": ("en", "de", "fr", "es", "it", "pt", "nl"),
    "cyrillic": ("ru", "uk"),
    "arabic": ("ar", "fa"),
}
_WORDS = {name: frozenset(words.split()) for name, words in _COMMON.items()}
_LEAST_WORDS = 2

_MARKS = ("?", "\uff1f", "\u061f", "\u00bf")
_MARK = re.compile("[\uff1f\u061f\u00bf]|\\?(?=[\\s\"'\u2019\u201d)\\]*]|$)")
_OPENERS = {
    "en": "what who whom whose when where why which how is are does did can could would should",
    "de": "was wer wen wem wie wo wann warum wieso welche welcher welches kannst können",
    "fr": "qui quoi pourquoi comment où quand quel quelle quels quelles",
    "es": "qué quién cómo dónde cuándo cuál cuánto",
}
_OPENING = {name: frozenset(words.split()) for name, words in _OPENERS.items()}
_ASKING = {
    "zh": re.compile("[吗呢]|什么|怎么|怎样|如何|为何|多少|哪"),
    "ja": re.compile("か[。\\s]|か$"),
}


def estimated_tokens(text: str) -> int:
    """A quarter of the UTF-8 bytes, rounded up."""
    return -(-len(text.encode(errors="replace")) // _BYTES_PER_TOKEN)


def analyse(text: str) -> dict[str, Any]:
    """`script`, `language` (ISO 639-1), `is_question`, `estimated_tokens`; None is unknown.

    A token is four bytes of UTF-8: four letters of English, or one and a third Chinese characters,
    which is about the average of current tokenisers.
    """
    sample = text[:SAMPLE_CHARS]
    runs = [(found.lastgroup or "", found[0].lower()) for found in _RUNS.finditer(sample)]
    script = _script(runs)
    words = [word for name, word in runs if name == script]
    language = _ALONE.get(script or "") or _by_words(script, words)
    return {
        "script": script,
        "language": language,
        "is_question": _asks(text, sample, language, words),
        "estimated_tokens": estimated_tokens(text),
    }


def _script(runs: list[tuple[str, str]]) -> str | None:
    """The script of more than half of a text, by weight; kana make a text Japanese."""
    weights: Counter[str] = Counter()
    for name, run in runs:
        weights[name] += len(run) * _DENSE.get(name, 1)
    if weights["kana"] and weights["kana"] * 6 >= weights["han"]:
        weights["kana"] += weights.pop("han", 0)
    if not weights:
        return None
    name, weight = weights.most_common(1)[0]
    return name if weight * 2 > weights.total() else None


def _by_words(script: str | None, words: list[str]) -> str | None:
    """The language whose commonest words occur most often; None if there is no single one."""
    hits = Counter(
        {name: sum(w in _WORDS[name] for w in words) for name in _LANGUAGES.get(script or "", ())}
    )
    (best, most), (_, second) = (*hits.most_common(2), ("", 0), ("", 0))[:2]
    return best if most >= _LEAST_WORDS and most > second else None


def _asks(text: str, sample: str, language: str | None, words: list[str]) -> bool:
    read = text[:READ_CHARS]
    if any(mark in read for mark in _MARKS) and _MARK.search(read):
        return True
    if asking := _ASKING.get(language or ""):
        return asking.search(sample) is not None
    return bool(words) and words[0] in _OPENING.get(language or "en", ())
