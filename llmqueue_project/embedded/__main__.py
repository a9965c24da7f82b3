"""`python -m llmqueue_project.embedded up | demo | dev | erase`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from llmqueue_project.config import ROOT
from llmqueue_project.embedded import addresses, demo, home, tether
from llmqueue_project.embedded.console import complain, say, step
from llmqueue_project.embedded.errors import AlreadyRunning, EmbeddedError, PartFailed
from llmqueue_project.embedded.stack import Stack
from llmqueue_project.embedded.state import State

END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """Somebody asked us to end. Not an Exception: no handler on the way may swallow it."""


def _end(_number: int, _frame: object) -> None:
    # Once is enough: the way down must not be interrupted half way.
    for number in END_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise Ended


def state_directory() -> Path:
    return Path(os.environ.get("LLMQUEUE_STATE_DIR") or ROOT / ".state")


def up(state: State, *, reload: bool = False) -> int:
    """Run until a signal."""
    began = time.monotonic()
    stack = Stack(state, os.environ, reload=reload)
    with state.locked("make dev" if reload else "make up"), suppress(Ended):
        try:
            stack.start()
            with step("start housekeeping, beat and Flower"):
                stack.wait_for_rest()
            addresses.show(stack)
            say(f"\nllmqueue is up after {time.monotonic() - began:.1f} s. Ctrl-C stops it.")
            stack.watch()
        finally:
            stack.stop()
    return 0


def show(state: State) -> int:
    """The demonstration, on the stack that runs already or on one of its own."""
    try:
        with state.locked("make demo"):
            stack = Stack(state, os.environ)
            try:
                stack.start()
                outcome = demo.run(stack.exports)
                stack.wait_for_rest()
                return outcome
            finally:
                stack.stop()
    except AlreadyRunning:
        exports = demo.running(state)
        if exports is None:
            raise
        say(f"Using the llmqueue that runs already on {exports['LLMQUEUE_URL']}.")
        return demo.run(exports)


def erase(state: State) -> int:
    """Delete data, logs and passwords, and the folder outside that root may have needed."""
    if state.root.exists():
        with state.locked("erase"):
            home.erase(state)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="llmqueue_project.embedded", description=__doc__)
    parser.add_argument("command", choices=("up", "demo", "dev", "erase"))
    command = parser.parse_args().command
    for number in END_SIGNALS:
        signal.signal(number, _end)
    state = State(state_directory())
    try:
        _tie_to_caller()
        if command == "erase":
            return erase(state)
        state.create()
        if command == "demo":
            return show(state)
        return up(state, reload=command == "dev")
    except PartFailed as failure:
        complain(str(failure), failure.log)
    except EmbeddedError as error:
        complain(str(error))
    except Ended:
        return 130
    return 1


def _tie_to_caller() -> None:
    """The Makefile asks us to end with it, `kill -9` included."""
    if os.environ.get(tether.PARENT):
        tether.die_with_parent(signal.SIGTERM)
        if tether.orphaned():
            raise Ended


if __name__ == "__main__":
    sys.exit(main())
