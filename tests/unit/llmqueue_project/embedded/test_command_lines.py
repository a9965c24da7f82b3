from __future__ import annotations

import os
import signal
from pathlib import Path

from llmqueue_project.embedded import command_lines
from llmqueue_project.embedded.accounts import Account
from llmqueue_project.embedded.valkey import Valkey

SOMEBODY = Account("somebody", os.getuid() + 1, os.getgid() + 1)
PORTS = {"web": 1, "flower": 2, "worker_metrics": 3, "housekeeping_metrics": 4}
METRICS = Path("/metrics")


def test_servers_that_run_elsewhere_have_no_program() -> None:
    valkey = Valkey(Path("/valkey-server"), Path("/data"), 1, "password", SOMEBODY)

    (program,) = command_lines.servers(None, valkey, account=SOMEBODY)

    assert (program.name, program.group, program.account) == ("valkey", "services", SOMEBODY)
    assert program.bare, "servers get no secrets"
    assert f"SIG{program.stop_signal}" == signal.SIGTERM.name


def test_the_model_server_drops_privileges_itself() -> None:
    (program,) = command_lines.model_server("smollm2", 9, account=SOMEBODY, application=SOMEBODY)

    assert program.account is None
    assert program.command[-2:] == SOMEBODY.tether_options
    assert program.keep == ("LLM_API_KEY",)
    assert command_lines.model_server(None, 9, account=None, application=None) == []


def test_hot_reload_watches_every_package() -> None:
    programs = command_lines.applications(SOMEBODY, PORTS, METRICS, {}, reload=True)

    named = {program.name: program.command for program in programs}
    for package in command_lines.CODE:
        assert package in named["worker"]
        assert package in named["web"]
    assert "--reload" not in named["housekeeping"]
