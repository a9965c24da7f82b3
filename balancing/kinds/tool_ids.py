"""Ids of tool calls for a provider that takes only some: the same for a call and its result."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256

LONGEST = 64
_TAKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


def fitted(ids: Sequence[str]) -> list[str]:
    """Ids of letters, digits, `_` and `-`, in the same order and each one only once.

    What fits already stays. Another id depends on the original alone, so that a conversation keeps
    its ids (and the provider's prompt cache) from turn to turn.
    """
    made: list[str] = []
    taken: set[str] = set()
    # How often a name was taken: a client may give a hundred thousand calls the same one.
    wanted: dict[str, int] = {}
    for original in ids:
        name = original if _TAKEN.fullmatch(original) else _mapped(original)
        base = name[: LONGEST - 8]
        while name in taken:
            wanted[base] = again = wanted.get(base, 1) + 1
            name = f"{base}_{again}"
        taken.add(name)
        made.append(name)
    return made


def _mapped(original: str) -> str:
    """A part of the original to be read by people, and a digest that keeps two originals apart."""
    digest = sha256(original.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    readable = re.sub(r"[^A-Za-z0-9_-]", "_", original)[:48]
    return f"{readable or 'call'}_{digest}"
