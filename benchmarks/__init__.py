"""Measurements of llmqueue, each a module with a command; see README.md."""
