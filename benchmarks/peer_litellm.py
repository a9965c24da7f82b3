"""LiteLLM's proxy in a virtual environment of its own, in front of the same endpoint."""

from __future__ import annotations

import hashlib
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.contenders import MODEL, Contender, plain_environment
from benchmarks.processes import Process, ProcessFailedError
from llmqueue_project.embedded.ports import free_port

HERE = Path(__file__).resolve().parent
VENV = HERE / ".litellm-venv"
REQUIREMENTS = HERE / "requirements-litellm.txt"
WORKERS = 2


def install() -> None:
    """Make the environment if it is missing or its pins changed; takes a minute.

    Raises:
        ProcessFailedError: pip could not install it.
    """
    marker = VENV / "installed"
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if marker.exists() and marker.read_text() == digest:
        return
    print(f"installing LiteLLM into {VENV} (once, about a minute) ...", flush=True)
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    pip = [str(VENV / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "-r", str(REQUIREMENTS)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ProcessFailedError(f"LiteLLM could not be installed (--skip-litellm?)\n{done.stderr}")
    marker.write_text(digest)


@contextmanager
def litellm(directory: Path, endpoint: Contender) -> Iterator[Contender]:
    """The proxy with two workers, without a database, its master key as API key."""
    install()
    port, key = free_port(), f"sk-{secrets.token_hex(24)}"
    config = directory / "litellm.json"
    config.write_text(json.dumps(_config(endpoint)))
    command = [str(VENV / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--num_workers", str(WORKERS)]
    # Its supervisor kills workers that do not answer a ping within 5 s: at 300 streams they
    # may not, and what restarts for ten seconds answers nothing.
    command += ["--timeout_worker_healthcheck", "120"]
    environment = plain_environment() | {
        "LITELLM_MASTER_KEY": key,
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    log = directory / "litellm.log"
    with Process("litellm", command, log=log, environment=environment) as process:
        process.wait_until_answering(f"http://127.0.0.1:{port}/health/liveliness", seconds=120)
        yield Contender(
            "litellm",
            f"http://127.0.0.1:{port}/v1",
            key,
            {"litellm": process.pid, **endpoint.parts},
        )


def _config(endpoint: Contender) -> dict[str, object]:
    """JSON is YAML."""
    parameters = {"model": f"openai/{MODEL}", "api_base": endpoint.base_url, "api_key": "none"}
    return {
        "model_list": [{"model_name": MODEL, "litellm_params": parameters}],
        "litellm_settings": {"telemetry": False},
    }
