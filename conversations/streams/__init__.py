"""Answers on their way from a worker to the clients that wait for them."""
