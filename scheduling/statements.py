"""The SQL that matters, one named statement a file in `scheduling/sql/`."""

from __future__ import annotations

from importlib.resources import files

_FOLDER = files("scheduling") / "sql"


def statement(name: str) -> str:
    """The text of `sql/<name>.sql`, its comments removed (psycopg reads `%` in them)."""
    lines = (_FOLDER / f"{name}.sql").read_text().splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("--"))


ARRAYS = statement("arrays")
STAGED = statement("staged")
# One statement whatever a group comes from: the fair tags are worked out in one place.
SUBMIT = statement("submit").replace("{rows}", ARRAYS)
SUBMIT_STAGED = statement("submit").replace("{rows}", STAGED)
STAGING = statement("staging")
CLAIM = statement("claim")
FINISH = statement("finish")
STORED = statement("stored")
HEARTBEAT = statement("heartbeat")
GIVE_BACK = statement("give_back")
RETRY = statement("retry")
NOTE = statement("note")
REQUEUE = statement("requeue")
REPRIORITISE = statement("reprioritise")
CANCEL = statement("cancel")
SWEEP_LEASES = statement("sweep_leases")
SWEEP_DEADLINES = statement("sweep_deadlines")
SWEEP_DUE = statement("sweep_due")
SETTLE = statement("settle")
RELEASE_BACKLOG = statement("release_backlog")
BACKLOG = statement("backlog")
DEMAND = statement("demand")
OUTLOOK = statement("outlook")
WATCH = statement("watch")
LOAD = statement("load")
HELD = statement("held")
UNSERVED = statement("unserved")
HOLD_PAUSED = statement("hold_paused")
RESUME_PAUSED = statement("resume_paused")
FOLD_USAGE = statement("fold_usage")
