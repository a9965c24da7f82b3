"""The names of the priority levels, highest first: Celery's queues are called so.

Without Django, because `celery inspect` reads them through the transport before it is set up.
"""

LEVELS = ("realtime", "high", "normal", "low")
