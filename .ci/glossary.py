"""Does docs/glossary.md have each term once, in alphabetical order, and is each of them used?"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GLOSSARY = ROOT / "docs" / "glossary.md"
# Where a term may be used: what people read and what runs. Tests follow the words of both.
USED_IN = ("llmqueue_project", "conversations", "scheduling", "balancing", "stores", "docs")
KINDS = frozenset({".py", ".sql", ".lua", ".html", ".md"})
ROW = re.compile(r"\| (?P<term>[^|]+?) \| [^|]+ \|")


def terms(page: str) -> list[str]:
    """The first column, row by row; a row may define several terms, separated by commas."""
    rows = [found["term"] for found in map(ROW.fullmatch, page.splitlines()) if found]
    return [row for row in rows if row != "term"]


def faults(page: str, texts: Iterable[str]) -> Iterator[str]:
    """What is wrong with the glossary, given the texts that should use its terms."""
    rows = terms(page)
    names = [name for row in rows for name in row.split(", ")]
    for name, times in Counter(map(str.casefold, names)).items():
        if times > 1:
            yield f"{name!r} stands {times} times"
    for before, after in pairwise(rows):
        if before.casefold() > after.casefold():
            yield f"{after!r} stands behind {before!r}: keep the rows in alphabetical order"
    for name in unused(names, texts):
        yield f"{name!r} is used nowhere: remove the row, or use the word"


def unused(names: Iterable[str], texts: Iterable[str]) -> list[str]:
    """Terms that no text has, whether as words, as `fair_tag` or as `FairTag`."""
    left = {name: re.compile(r"[\s_-]?".join(re.split("[ -]", name)), re.I) for name in names}
    for text in texts:
        left = {name: pattern for name, pattern in left.items() if not pattern.search(text)}
    return list(left)


def sources() -> Iterator[str]:
    """The project's own texts, but for the glossary."""
    for folder in USED_IN:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in KINDS and path != GLOSSARY:
                yield path.read_text(encoding="utf-8")


def main() -> int:
    found = list(faults(GLOSSARY.read_text(encoding="utf-8"), sources()))
    for fault in found:
        print(f"docs/glossary.md: {fault}", file=sys.stderr)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
