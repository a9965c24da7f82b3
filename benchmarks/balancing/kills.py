"""Do slots leak when their holders are killed? `python -m benchmarks.balancing.kills`."""

from __future__ import annotations

import os
import sys

import django


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmqueue_project.settings")
    django.setup()
    from benchmarks.balancing import killing

    return killing.main()


if __name__ == "__main__":
    sys.exit(main())
