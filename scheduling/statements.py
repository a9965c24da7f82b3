"""The statements that matter, by name; each is a file in `scheduling/sql/`.

A part that several statements share has a file in `sql/parts/`: charging, refunding and settling
flows.
"""

from __future__ import annotations

import re
from importlib.resources import files

from scheduling.policies.fairness import LEAST_WEIGHT

_FOLDER = files("scheduling") / "sql"
# `{charge first}`: the text of `sql/parts/charge.sql`, about the rows of `first`.
_PART = re.compile(r"\{(\w+) (\w+)\}")


def statement(name: str) -> str:
    """The text of `sql/<name>.sql` with its parts."""
    return _with_parts(_text(name)).replace("{least_weight}", str(LEAST_WEIGHT))


def _with_parts(text: str) -> str:
    return _PART.sub(
        lambda part: _with_parts(_text(f"parts/{part[1]}").replace("{jobs}", part[2])), text
    )


def _text(name: str) -> str:
    """A file without comments, in which psycopg would read `%`, and without indentation.

    Statements must stay short: psycopg parses one of more than 4,096 characters at every call.
    """
    lines = map(str.strip, (_FOLDER / f"{name}.sql").read_text().splitlines())
    return "\n".join(line for line in lines if not line.startswith("--"))


GIVEN = statement("given")
STAGED = statement("staged")
# One statement wherever a group comes from, so that fair tags are worked out in one place.
SUBMIT = statement("submit").replace("{rows}", GIVEN)
SUBMIT_STAGED = statement("submit").replace("{rows}", STAGED)
STAGING = statement("staging")
CLAIM = statement("claim")
WAITING = statement("waiting")
RUNNING = statement("running")
FINISH = statement("finish")
STORED = statement("stored")
HEARTBEAT = statement("heartbeat")
GIVE_BACK = statement("give_back")
RETRY = statement("retry")
NOTE = statement("note")
REQUEUE = statement("requeue")
REPRIORITISE = statement("reprioritise")
CANCEL = statement("cancel")
LOST_STREAMS = statement("lost_streams")
SWEEP_LEASES = statement("sweep_leases")
SWEEP_DEADLINES = statement("sweep_deadlines")
SWEEP_DUE = statement("sweep_due")
SETTLE = statement("settle")
RELEASE_BACKLOG = statement("release_backlog")
QUEUED = statement("queued")
DEMAND = statement("demand")
LEVEL_SUMMARIES = statement("level_summaries")
WATCH = statement("watch")
LOAD = statement("load")
HELD = statement("held")
UNSERVED = statement("unserved")
HOLD_PAUSED = statement("hold_paused")
RESUME_PAUSED = statement("resume_paused")
FOLD_USAGE = statement("fold_usage")
