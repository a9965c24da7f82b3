"""Does a request name only what its operation reads? A misspelt name is refused, not ignored."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from difflib import get_close_matches

from conversations.doors.rest.protocol.refusals import Code, RestError

_LONGEST_SHOWN = 60


def check(given: Iterable[str], known: AbstractSet[str], what: str) -> None:
    """Refuse the first name that is not known, and tell the nearest one that is.

    Args:
        what: the kind of the names, such as `field`.

    Raises:
        RestError: 1014, about that name.
    """
    for name in given:
        if name not in known:
            reason = f"there is no such {what} here{_advice(name, known)}"
            raise RestError(Code.MALFORMED_BODY, reason, field=name)


def _advice(name: str, known: AbstractSet[str]) -> str:
    near = get_close_matches(name[:_LONGEST_SHOWN].lower(), known, n=1)
    if near:
        return f": did you mean {near[0]}?"
    return f"; known are {', '.join(sorted(known))}" if known else "; none is taken"
