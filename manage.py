#!/usr/bin/env python
"""Django's command line for llmqueue."""

import os
import sys

from django.core.management import execute_from_command_line


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmqueue_project.settings")
    from llmqueue_project.unreachable import SERVER_ERRORS, missing_server

    try:
        execute_from_command_line(sys.argv)
    except SERVER_ERRORS as error:
        sentence = missing_server(error)
        if not sentence:
            raise
        sys.exit(sentence)


if __name__ == "__main__":
    main()
