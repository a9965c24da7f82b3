"""Start a program that dies with its parent, as another user if asked.

Run as a script (`python -I -S tether.py [options] -- command ...`), so that it costs 20 ms
and imports nothing of the project. On Linux it asks the kernel for a signal at the parent's
death and becomes the program. Elsewhere, or with `--watch`, it stays as a small parent that
notices its own parent's death and ends the program's whole process group.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import select
import signal
import sys
import time

PARENT = "LLMQUEUE_TETHERED_TO"
KEPT_WHEN_BARE = ("PATH", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "LANG")
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
WATCH_SECONDS = 0.5
# Between a request to end and the end by force; less than supervisord's patience with a part.
GRACE_SECONDS = 3.5
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4


def drop(uid: int, gid: int) -> None:
    """Become this user for good: no supplementary groups, no way back."""
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def die_with_parent(number: int) -> None:
    """Ask the kernel (Linux) to send this process a signal when its parent dies.

    A change of user clears the request, so drop privileges first. Dumpable again after
    that change, or `/proc/self/fd` would belong to root.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_DUMPABLE, 1), (_PR_SET_PDEATHSIG, number)):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl failed")


def orphaned() -> bool:
    """Whether the parent named in the environment is gone already: it may have died
    between its fork and our request to the kernel."""
    expected = os.environ.get(PARENT, "")
    return expected != "" and os.getppid() != int(expected)


def become(command: list[str], number: int, environment: dict[str, str]) -> None:
    """Replace this process by the program."""
    die_with_parent(number)
    if orphaned():
        sys.exit(1)
    # The program's own tethered children compare their parent with this.
    os.execvpe(command[0], command, {**environment, PARENT: str(os.getpid())})


def child_environment(*, bare: bool, keep: list[str]) -> dict[str, str]:
    """All of ours, or without the secrets that servers have no need of."""
    if not bare:
        return dict(os.environ)
    names = (*KEPT_WHEN_BARE, *keep)
    return {"LC_ALL": "C", **{name: os.environ[name] for name in names if name in os.environ}}


class Watch:
    """A parent that lives as long as the program and takes its process group with it."""

    def __init__(
        self, command: list[str], number: int, environment: dict[str, str], grace: float
    ) -> None:
        self._number = number
        self._grace = grace
        self._deadline = 0.0
        self._wakeup, wakeup = os.pipe()
        for end in (self._wakeup, wakeup):
            os.set_blocking(end, False)
        os.environ[PARENT] = str(os.getpid())
        # No signal may arrive before there is somebody to pass it on to.
        signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
        self._child = os.fork()
        with contextlib.suppress(OSError):
            os.setpgid(self._child, self._child)
        if self._child == 0:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
            become(command, number, environment)
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for forwarded in FORWARDED:
            signal.signal(forwarded, self._forward)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)

    def _forward(self, number: int, _frame: object) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._end_child(number)
        else:
            self._signal_child(number)

    def _end_child(self, number: int) -> None:
        if not self._deadline:
            self._deadline = time.monotonic() + self._grace
        self._signal_child(number)

    def _signal_child(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child, number)

    def run(self) -> int:
        """Wait for the program, or for the parent's death; the program's exit status."""
        parent = os.getppid()
        while True:
            pid, status = os.waitpid(self._child, os.WNOHANG)
            if pid:
                self._end_group()
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            if not self._deadline and os.getppid() != parent:
                self._end_child(self._number)
            if self._deadline and time.monotonic() > self._deadline:
                self._end_group()
            self._sleep()

    def _sleep(self) -> None:
        readable, _, _ = select.select([self._wakeup], [], [], WATCH_SECONDS)
        if readable:
            os.read(self._wakeup, 1024)

    def _end_group(self) -> None:
        """What the program left behind: a killed web server's own workers, say."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child, signal.SIGKILL)


def tethered(command: list[str], options: list[str] | None = None) -> list[str]:
    """The command line that runs this script with a command; `PARENT` goes in its environment."""
    return [sys.executable, "-I", "-S", __file__, *(options or []), "--", *command]


def arguments(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options before `--` and the command after it."""
    options, command = list(argv), []
    if "--" in options:
        at = options.index("--")
        options, command = options[:at], options[at + 1 :]
    parser = argparse.ArgumentParser(prog="tether")
    parser.add_argument("--user", help="uid:gid to become first")
    parser.add_argument("--signal", default="TERM", help="sent at the parent's death")
    parser.add_argument("--bare", action="store_true", help="pass on a minimal environment")
    parser.add_argument("--keep", action="append", default=[], help="pass this on all the same")
    parser.add_argument("--watch", action="store_true", help="stay as parent of a process group")
    parser.add_argument("--grace", type=float, default=GRACE_SECONDS, help="seconds to end in")
    parsed = parser.parse_args(options)
    if not command:
        parser.error("a command is needed after --")
    return parsed, command


def main(argv: list[str]) -> int:
    options, command = arguments(argv)
    number = signal.Signals[f"SIG{options.signal}"].value
    if options.user:
        uid, gid = options.user.split(":")
        drop(int(uid), int(gid))
    die_with_parent(number)
    if orphaned():
        return 1
    environment = child_environment(bare=options.bare, keep=options.keep)
    if not options.watch and sys.platform.startswith("linux"):
        become(command, number, environment)
    return Watch(command, number, environment, options.grace).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
