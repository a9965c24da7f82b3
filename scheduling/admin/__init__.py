"""Jobs, attempts, flows and pauses in admin. Jobs are changed by services only."""

from scheduling.admin import attempts, flows, jobs, pauses

__all__ = ["attempts", "flows", "jobs", "pauses"]
