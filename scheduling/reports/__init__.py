"""How the levels and the capacity stand, for people and for metrics."""
