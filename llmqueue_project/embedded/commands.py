"""Several management commands in one process: `python -m ....commands migrate bootstrap`."""

from __future__ import annotations

import os
import sys

import django
from django.core.management import CommandError, call_command


def main(names: list[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmqueue_project.settings")
    django.setup()
    for name in names:
        try:
            call_command(name)
        except CommandError as error:
            sys.exit(f"{name}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
