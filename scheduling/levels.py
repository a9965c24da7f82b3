"""The names of the priority levels, highest first. Celery's queues have the same names.

This file does not import Django: `celery inspect` reads it through the transport, before Django is
set up.
"""

LEVELS = ("realtime", "high", "normal", "low")
