"""Jobs, their attempts, flows and pauses in admin. Jobs change through services only."""

from scheduling.admin import attempts, flows, jobs, pauses

__all__ = ["attempts", "flows", "jobs", "pauses"]
