from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmqueue_project.embedded import accounts
from llmqueue_project.embedded.accounts import Account, reaches, service_account

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")
NOBODY = Account("nobody", 65534, 65534)


def test_root_gets_an_existing_unprivileged_account() -> None:
    account = service_account()

    assert account is not None
    assert account.uid != 0
    assert account.gid != 0


def test_an_account_that_cannot_be_used_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "_works", lambda account: account.name != "nobody")

    account = service_account()

    assert account is not None
    assert account.name != "nobody"


def test_what_lies_below_a_private_folder_is_out_of_reach(tmp_path: Path) -> None:
    public = Path("/etc/passwd")
    hidden = tmp_path / "private" / "inner"
    hidden.mkdir(parents=True)
    hidden.parent.chmod(0o700)

    assert reaches(NOBODY, public, public.parent)
    assert not reaches(NOBODY, public, hidden)
