"""What is kept between two runs: ports, secrets, data, logs; and who runs on it now."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmqueue_project.embedded.errors import AlreadyRunning, EmbeddedError

SECRETS = ("postgres", "valkey", "llm", "django", "credentials")


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable by its owner only (0600)."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


class State:
    """The state directory, by default `.state` beside the code."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.logs = self.root / "logs"
        self.run = self.root / "run"
        self.env = self.root / "env"
        self.lock_file = self.root / "lock"

    def create(self) -> None:
        """Make the folders. Started by root, servers of another user must be able to pass."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
            for folder in (self.logs, self.run):
                folder.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise EmbeddedError(
                f"cannot use the state directory {self.root}: {error.strerror or error}. "
                "Set LLMQUEUE_STATE_DIR to a directory that you own."
            ) from error

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def load(self, name: str) -> dict[str, Any]:
        """The named JSON record; empty if there is none."""
        path = self.root / f"{name}.json"
        try:
            record: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise EmbeddedError(
                f"{path} cannot be read ({error}). Repair it, or delete {self.root} to start anew."
            ) from error
        return record

    def save(self, name: str, record: Mapping[str, Any]) -> None:
        write_private(self.root / f"{name}.json", json.dumps(record, indent=2) + "\n")

    def secrets(
        self, make: Callable[[], str] = lambda: secrets.token_urlsafe(32)
    ) -> dict[str, str]:
        """Passwords and keys, made once."""
        known = self.load("secrets")
        missing = {name: make() for name in SECRETS if name not in known}
        if missing:
            self.save("secrets", {**known, **missing})
        return {**known, **missing}

    @contextmanager
    def locked(self, purpose: str) -> Iterator[None]:
        """Hold this directory for one launcher; the kernel lets go if it is killed.

        Raises:
            AlreadyRunning: another launcher holds it.
        """
        with self.lock_file.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip() or "another process"
                raise AlreadyRunning(
                    f"llmqueue already runs on {self.root}: {holder}. Stop it there with Ctrl-C, "
                    "or set LLMQUEUE_STATE_DIR to another directory for a second one."
                ) from None
            file.truncate(0)
            file.write(f"{purpose}, process {os.getpid()}\n")
            file.flush()
            try:
                yield
            finally:
                file.truncate(0)
