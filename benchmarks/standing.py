"""Keep an endpoint and a stack running until the input ends; print where, as one line of JSON.

It is a program, not a module to import: `benchmarks.against` runs it inside another commit's tree,
and there it imports that commit's `benchmarks`.
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
