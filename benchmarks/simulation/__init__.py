"""Scheduling in virtual time: recorded arrivals against the product's own policies, and peers."""
