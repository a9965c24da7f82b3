"""What operators have paused: intake, a level, a tenant, a flow."""

from __future__ import annotations

from django.db import models


class Pause(models.Model):
    """Something that an operator has paused; the row is the pause, and resuming deletes it.

    `key` names what is paused within the scope: a level, a tenant's id or a flow's. Intake has no
    key.
    """

    class Scope(models.TextChoices):
        INTAKE = "intake", "intake: nothing new is accepted"
        LEVEL = "level", "level: what is queued there is not started"
        TENANT = "tenant", "tenant: its waiting requests are held"
        FLOW = "flow", "flow: its waiting requests are held"

    scope = models.CharField(max_length=10, choices=Scope.choices)
    key = models.CharField(max_length=64, blank=True, default="")
    reason = models.CharField(max_length=200, blank=True, default="")
    since = models.DateTimeField(auto_now_add=True)
    operator = models.CharField(max_length=150, blank=True, default="", help_text="who paused it")

    class Meta:
        ordering = ["scope", "key"]
        constraints = [models.UniqueConstraint(fields=["scope", "key"], name="pause_once")]

    def __str__(self) -> str:
        return f"{self.scope} {self.key}".strip()
