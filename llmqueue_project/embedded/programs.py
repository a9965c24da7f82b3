"""The parts as programs, and supervisord's configuration that runs them."""

from __future__ import annotations

import os
import resource
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from llmqueue_project.config import ROOT
from llmqueue_project.embedded import tether
from llmqueue_project.embedded.accounts import Account
from llmqueue_project.embedded.errors import EmbeddedError
from llmqueue_project.embedded.state import State

Group = Literal["services", "apps"]
OPEN_FILES = 16_384
STOP_SECONDS: Mapping[Group, int] = {"apps": 5, "services": 3}


@dataclass(frozen=True)
class Program:
    """One part of the stack as a process."""

    name: str
    command: list[str]
    group: Group = "apps"
    account: Account | None = None
    stop_signal: str = "TERM"
    watch: bool = False
    bare: bool = False
    keep: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def tethered(self) -> list[str]:
        options = self.account.tether_options if self.account else []
        options = [*options, "--signal", self.stop_signal]
        options += [*(["--watch"] if self.watch else []), *(["--bare"] if self.bare else [])]
        for name in self.keep:
            options += ["--keep", name]
        return tether.tethered(self.command, options)


def supervisord_configuration(state: State, socket: Path, programs: Iterable[Program]) -> str:
    """The text of supervisord's configuration file."""
    programs = list(programs)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    sections: dict[str, dict[str, object]] = {
        "supervisord": {
            "nodaemon": "true",
            "identifier": "llmqueue",
            "logfile": state.log("supervisord"),
            "logfile_maxbytes": "5MB",
            "logfile_backups": 2,
            "pidfile": state.run / "supervisord.pid",
            "childlogdir": state.logs,
            "minfds": files,
            **({"user": "root"} if os.geteuid() == 0 else {}),
        },
        "unix_http_server": {"file": socket, "chmod": "0700"},
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
    }
    for program in programs:
        sections[f"program:{program.name}"] = _program(state, program)
    # Groups start by rising and stop by falling priority, one after the other.
    for priority, group in ((10, "services"), (20, "apps")):
        names = [program.name for program in programs if program.group == group]
        if names:
            sections[f"group:{group}"] = {"programs": ",".join(names), "priority": priority}
    return "".join(
        f"[{title}]\n" + "".join(f"{key}={_plain(value)}\n" for key, value in options.items())
        for title, options in sections.items()
    )


def _program(state: State, program: Program) -> dict[str, object]:
    environment = ",".join(f'{name}="{value}"' for name, value in program.environment.items())
    return {
        "command": shlex.join(program.tethered),
        "directory": "/" if program.bare and program.account else ROOT,
        "environment": environment,
        "autostart": "false",
        "autorestart": "true",
        # A part that ends within five seconds waits 1, 2, 3 ... s before its next start.
        "startsecs": 5,
        "startretries": 8,
        "stopsignal": program.stop_signal,
        "stopwaitsecs": STOP_SECONDS[program.group],
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": state.log(program.name),
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": 2,
    }


def _plain(value: object) -> str:
    """A value as supervisord's parser reads it back: `%` doubled, no comment, one line."""
    text = str(value)
    if "\n" in text or " ;" in text or " #" in text:
        raise EmbeddedError(f"supervisord cannot be given this value, rename the folder: {text!r}")
    return text.replace("%", "%%")
