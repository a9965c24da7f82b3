"""Is a commit's subject "type(scope): imperative subject"? The hook that git calls with a message.

A list cannot know every verb. It refuses what is surely none: articles, pronouns, question words,
participles, plurals and nouns by their endings. What it lets through a reviewer still reads.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

TYPES = (
    *("feat", "fix", "perf", "refactor", "style", "docs", "test", "bench"),
    *("build", "ci", "chore", "revert"),
)
FORM = re.compile(rf"(?:{'|'.join(TYPES)})(?:\([a-z0-9_-]+\))?!?: (?P<subject>\S.*)")
# Git writes these itself.
WRITTEN_BY_GIT = re.compile(r"Merge |fixup! |squash! ")
RELEASE = re.compile(r"chore\(release\): \d+\.\d+\.\d+")
WORD = re.compile(r"[a-z]+(?:-[a-z]+)*")

NO_VERBS = {
    "articles, pronouns, question words": (
        "a an the this that these those it its they we you i he she who what which whose when "
        "where why how whether nobody nothing somebody something everybody everything each every "
        "all any both"
    ),
    "numbers, prepositions, conjunctions, adverbs": (
        "one two three four five six seven eight nine ten more most less least few fewer many "
        "much as at by for from in into of on onto to under up with without within while until "
        "because before after between and or but if no not only also now then again"
    ),
    "adjectives": (
        "best faster slower smaller larger shorter longer calmer simpler careful real missing "
        "dead live fair main first last next final initial minor small large big new old other "
        "another same"
    ),
    "irregular participles and pasts, forms of to be and to have": (
        "made done kept told seen given taken written built sent lost found held shown known left "
        "begun gone brought bought caught chosen driven drawn fallen forgotten hidden meant paid "
        "said sold spent thought understood was were is are be been am has had does did can may "
        "must should will"
    ),
    "nouns that commits began with": (
        "endpoint job line code bug typo wip feature fixture readme changelog documentation money "
        "policy memory result error"
    ),
}
ENDINGS = {
    "ed": "embed exceed feed heed need proceed seed shed shred speed succeed weed",
    "ing": "bring ping ring spring sting string swing",
    "s": "access address alias bias bypass compress cross discuss dismiss dress express focus guess"
    " miss pass possess press process suppress toss",
    "tion": "caution condition mention partition position question",
    "ness": "harness witness",
    "ment": "augment comment complement decrement document experiment fragment implement increment"
    " instrument segment supplement",
    "ity": "",
    "ly": "apply comply multiply rely reply supply tally",
}
"""Endings of participles, third persons, plurals, nouns and adverbs; then the verbs that end so."""


def fault(subject: str) -> str:
    """What is wrong with the first line of a message; empty where nothing is."""
    if WRITTEN_BY_GIT.match(subject) or RELEASE.fullmatch(subject):
        return ""
    found = FORM.fullmatch(subject)
    if found is None:
        return f"write type(scope): subject, with a type of {', '.join(TYPES)}"
    text = found["subject"]
    if text.endswith("."):
        return "end without a full stop"
    first = text.split()[0]
    if not WORD.fullmatch(first):
        return f"begin with a verb in lower case, not with {first!r}"
    if not may_be_imperative(first):
        return f"begin with a verb in the imperative, such as add, keep or say, not with {first!r}"
    return ""


def may_be_imperative(word: str) -> bool:
    """Whether nothing speaks against it."""
    if any(word in words.split() for words in NO_VERBS.values()):
        return False
    stem = word.rpartition("-")[2]
    return not any(
        stem.endswith(ending) and stem not in verbs.split() for ending, verbs in ENDINGS.items()
    )


def main(arguments: list[str]) -> int:
    path = Path(arguments[0])
    subject = path.read_text(encoding="utf-8").partition("\n")[0].rstrip()
    if reason := fault(subject):
        print(f"{subject!r}: {reason}. See CONTRIBUTING.md, Commits.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
