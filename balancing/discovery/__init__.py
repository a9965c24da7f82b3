"""Endpoints and models that appear and vanish by themselves."""
