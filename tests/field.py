"""How many random cases does a generator try? A few in `make test`, many in `make test-field`."""

from __future__ import annotations

import os


def examples(small: int, large: int) -> int:
    """How many cases a generator tries: `large` in `make test-field`."""
    return large if os.environ.get("LLMQUEUE_FIELD_DOSE") else small
