from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmqueue_project.embedded import addresses
from llmqueue_project.embedded.state import State


def stack(root: Path, *, llm: str | None) -> Any:
    """As much of a stack as is printed."""
    exports = {
        "LLMQUEUE_URL": "http://127.0.0.1:1",
        "LLMQUEUE_ADMIN_USER": "ada",
        "LLMQUEUE_API_KEY": "s3cr3t",
        "FLOWER_URL": "http://127.0.0.1:1/flower/",
    }
    parts = SimpleNamespace(llm=llm, environment={"LLM_BASE_URL": "http://127.0.0.1:2/v1"})
    return SimpleNamespace(exports=exports, parts=parts, state=State(root))


def test_what_is_printed_has_no_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    addresses.show(stack(tmp_path, llm=None))

    shown = capsys.readouterr().out
    assert "http://127.0.0.1:1/v1" in shown
    assert "(user ada)" in shown
    assert "(your endpoint)" in shown
    assert "s3cr3t" not in shown


def test_the_fake_endpoint_can_be_controlled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    addresses.show(stack(tmp_path, llm="fake"))

    assert "POST http://127.0.0.1:2/control" in capsys.readouterr().out
