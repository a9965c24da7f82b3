"""Scheduling on real processes: llmqueue beside FIFO and stock Celery, on the same arrivals."""
