"""The Celery messages that say that one more job waits at a level, and who may take one."""
