"""The resources of `/api/v1`, one a module."""
