"""As whom do the servers run? As the current user, or as an unprivileged account if that is root.

PostgreSQL refuses to run as root. No account is created and no folder above the state changes.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmqueue_project.config import ROOT
from llmqueue_project.embedded.errors import EmbeddedError

PREFERRED = ("nobody", "daemon", "www-data")


@dataclass(frozen=True)
class Account:
    """An unprivileged user of this machine."""

    name: str
    uid: int
    gid: int

    @property
    def tether_options(self) -> list[str]:
        return ["--user", f"{self.uid}:{self.gid}"]

    @property
    def popen_options(self) -> dict[str, Any]:
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        os.chown(path, self.uid, self.gid, follow_symlinks=False)


def _candidates() -> Iterator[Account]:
    entries = {entry.pw_name: entry for entry in pwd.getpwall()}
    names = [name for name in PREFERRED if name in entries]
    for name in (*names, *sorted(entries.keys() - set(names))):
        entry = entries[name]
        if entry.pw_uid != 0 and entry.pw_gid != 0:
            yield Account(name, entry.pw_uid, entry.pw_gid)


def _works(account: Account) -> bool:
    """Containers may map a few users only: the proof is to become one."""
    try:
        subprocess.run(["/bin/sh", "-c", ":"], cwd="/", check=True, **account.popen_options)
    except (OSError, ValueError, subprocess.SubprocessError):
        return False
    return True


def service_account() -> Account | None:
    """Whom the servers run as; None for the user we are already.

    Raises:
        EmbeddedError: we are root and no other account can be used.
    """
    if os.geteuid() != 0:
        return None
    account = next((one for one in _candidates() if _works(one)), None)
    if account is None:
        raise EmbeddedError(
            "PostgreSQL does not run as root and no other account can be used here: "
            "start llmqueue as an ordinary user."
        )
    return account


def reaches(account: Account, *paths: Path) -> bool:
    """Whether this account may enter all these folders and read all these files."""
    script = """for path; do
        if test -d "$path"; then test -x "$path"; else test -r "$path"; fi || exit 1
    done"""
    finished = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *map(str, paths)],
        cwd="/",
        check=False,
        **account.popen_options,
    )
    return finished.returncode == 0


def runs_the_application(account: Account) -> bool:
    """Whether this account reaches the interpreter, the packages and the repository.

    Below a 0700 home it does not; then web and workers stay the user who started us.
    """
    probe = "import django, celery, granian, llmqueue_project.config"
    try:
        finished = subprocess.run(
            [sys.executable, "-B", "-c", probe],
            cwd=ROOT,
            capture_output=True,
            check=False,
            **account.popen_options,
        )
    except OSError:
        return False
    return finished.returncode == 0
