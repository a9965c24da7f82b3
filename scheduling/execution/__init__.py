"""A claimed job to its one stored result: calls, retries, hedges, outcomes."""
