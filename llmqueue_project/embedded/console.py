"""What the person who typed the command sees: a line a step, with the time it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TAIL_LINES = 25
_WIDTH = 50


def say(text: str = "") -> None:
    print(text, flush=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Show a step when it begins, its seconds when it is done."""
    began = time.monotonic()
    print(f"  {title:<{_WIDTH}}", end="", flush=True)
    try:
        yield
    except BaseException as error:
        say("failed" if isinstance(error, Exception) else "interrupted")
        raise
    say(f"{time.monotonic() - began:5.1f} s")


def complain(message: str, log: Path | None = None) -> None:
    """A failure on standard error: what to do, and the last words of the part concerned."""
    sys.stdout.flush()
    print(f"\nllmqueue: {message}", file=sys.stderr)
    if log is not None:
        print(f"\n--- the end of {log} ---\n{tail(log)}", file=sys.stderr)


def tail(path: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a file, read from its last 32 KiB."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 32_768))
            text = file.read().decode(errors="replace")
    except OSError as error:
        return f"(cannot be read: {error.strerror})"
    return "\n".join(text.splitlines()[-lines:]) or "(empty)"
