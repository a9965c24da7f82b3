"""How does a benchmark end that is interrupted, killed or fails? All that it started is stopped."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

from benchmarks.processes import ProcessFailedError


def run(work: Callable[[], int]) -> int:
    """Do the work of a command; its exit status."""
    # So that a plain kill, too, ends every process that was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return work()
    except KeyboardInterrupt:
        print("\ninterrupted; everything started was stopped", file=sys.stderr)
        return 130
    except ProcessFailedError as error:
        print(f"\nbenchmark failed: {error}", file=sys.stderr)
        return 1
