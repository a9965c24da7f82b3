"""The proxies' files: bodies that llmqueue takes pass, and refusals are error objects."""

from __future__ import annotations

import json
import re

import pytest

from llmqueue_project.config import ROOT
from llmqueue_project.config_sections import WebConfig

NGINX = (ROOT / "deploy" / "nginx.conf").read_text()
CADDY = (ROOT / "deploy" / "Caddyfile").read_text()


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        pytest.param(NGINX, r"client_max_body_size (\d+)m;", id="nginx"),
        pytest.param(CADDY, r"max_size (\d+)MiB", id="Caddy"),
    ],
)
def test_what_llmqueue_takes_passes(text: str, pattern: str) -> None:
    """A21"""
    found = re.search(pattern, text)

    assert found is not None
    assert int(found[1]) * 1024 * 1024 > WebConfig().max_body_bytes


@pytest.mark.parametrize("text", [NGINX, CADDY])
def test_what_is_too_large_is_an_error_object(text: str) -> None:
    """A21"""
    found = re.search(r"""['`](\{"error".*\})['`]""", text)

    assert found is not None
    assert json.loads(found[1])["error"]["code"] == "body_too_large"
