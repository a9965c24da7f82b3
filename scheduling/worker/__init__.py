"""The engine of a worker process, and how it lives inside `celery worker`."""
