"""Keeps an endpoint and a stack running until its input ends; says where, as one line of JSON.

A program and no module: `benchmarks.against` runs it inside another commit's tree, whose own
`benchmarks` it then imports.
"""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.contenders import fake_endpoint
from benchmarks.stack import Shape, llmqueue


def main() -> None:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llmqueue-bench-")))
        endpoint = stack.enter_context(fake_endpoint(directory))
        made = stack.enter_context(llmqueue(directory, endpoint, Shape()))
        where = {"base_url": made.base_url, "api_key": made.api_key, "parts": made.parts}
        print(json.dumps(where), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
