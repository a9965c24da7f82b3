"""What was used and spent by day: entries as jobs end, and the days that they are folded into."""

from __future__ import annotations

from django.db import models


class Spending(models.Model):
    """Requests, tokens and money of one tenant, user, model and endpoint."""

    day = models.DateField(help_text="UTC")
    tenant_id = models.UUIDField(null=True)
    user_id = models.UUIDField(null=True)
    model = models.CharField(max_length=200)
    endpoint = models.CharField(max_length=64, help_text="its name")
    requests = models.BigIntegerField()
    estimated_requests = models.BigIntegerField(help_text="whose tokens were not reported")
    prompt_tokens = models.BigIntegerField()
    completion_tokens = models.BigIntegerField()
    spent_micros = models.BigIntegerField(help_text="in millionths of the currency")

    class Meta:
        abstract = True


class UsageEntry(Spending):
    """What a group of finishes adds to a day, from `sql/finish.sql`; a fold soon removes it."""


class DailyUsage(Spending):
    """A day's sums, from `sql/fold_usage.sql`. What is not folded yet is still in entries."""

    class Meta:
        verbose_name = "daily usage"
        verbose_name_plural = "costs"
        ordering = ["-day"]
        constraints = [
            models.UniqueConstraint(
                fields=["day", "tenant_id", "user_id", "model", "endpoint"],
                name="usage_once",
                nulls_distinct=False,
            )
        ]
        indexes = [models.Index(fields=["tenant_id", "day"], name="usage_tenant")]

    def __str__(self) -> str:
        return f"{self.day} {self.model} {self.endpoint}"
