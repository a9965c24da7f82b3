"""One LLM request and its attempts.

`Job` is narrow because it is hot. Body and result have tables of their own, and foreign keys on the
hot path have no database constraint: each would cost a trigger a row (docs/decisions/0009).
"""

from __future__ import annotations

from typing import Any

from django.db import models

from scheduling.models.enums import Api, Held, Priority, Source, Status
from scheduling.models.flow import Flow
from stores.ids import uuid7


class Job(models.Model):
    """One LLM request on its way from submit to its single result."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    held_reason = models.CharField(max_length=12, choices=Held.choices, blank=True, default="")
    level = models.SmallIntegerField("priority", choices=Priority.choices)
    # The database has the default too, because processes of the previous version go on inserting.
    priority_reason = models.CharField(
        max_length=200, blank=True, default="", db_default="", help_text="why that priority"
    )
    model = models.CharField(max_length=200)
    api = models.CharField("API", max_length=12, choices=Api.choices, default=Api.CHAT)
    source = models.CharField(
        max_length=12,
        choices=Source.choices,
        default=Source.OPENAI,
        help_text="the door it came by",
    )
    stream = models.BooleanField(default=False)

    tenant_id = models.UUIDField(null=True)
    user_id = models.UUIDField(null=True)
    flow = models.ForeignKey(Flow, models.DO_NOTHING, db_constraint=False, related_name="jobs")
    fair_tag = models.FloatField(default=0.0)
    settled = models.FloatField(
        default=0.0, db_default=0.0, help_text="its flow's settlements up to its fair tag"
    )
    cost = models.FloatField(default=1.0, help_text="estimated, in weighted tokens")
    sequence_key = models.UUIDField(null=True, help_text="one running job a key")
    affinity = models.CharField(
        max_length=32, blank=True, default="", db_default="", help_text="prefers one endpoint"
    )
    allow_fallback = models.BooleanField(
        default=False, db_default=False, help_text="another model may answer"
    )

    attempts = models.SmallIntegerField(default=0)
    max_attempts = models.SmallIntegerField(default=3)
    lease_token = models.UUIDField(null=True, editable=False)
    lease_expires_at = models.DateTimeField(null=True)
    worker = models.CharField(max_length=100, blank=True, default="")
    cancel_requested = models.BooleanField(default=False)
    origin = models.CharField(
        max_length=40, blank=True, default="", help_text="mailbox of the web process that waits"
    )
    request_id = models.CharField(max_length=64, blank=True, default="")

    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    due_at = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField(null=True)
    timeout_seconds = models.FloatField(
        null=True, help_text="from submit, or from when it was due, to its deadline"
    )
    started_at = models.DateTimeField(null=True, help_text="of the latest attempt")
    first_token_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    prompt_tokens = models.IntegerField(null=True)
    completion_tokens = models.IntegerField(null=True)
    spent_micros = models.BigIntegerField(
        null=True, help_text="of all attempts, in millionths of the currency; empty without prices"
    )
    spent_estimated = models.BooleanField(
        default=False, db_default=False, help_text="an endpoint reported no usage"
    )
    error_code = models.CharField(max_length=40, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    error_status = models.SmallIntegerField(
        null=True, help_text="HTTP status of the endpoint's refusal"
    )

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            # The claim reads one model's next jobs at one level. Only runnable rows are in it.
            models.Index(
                fields=["level", "model", "fair_tag", "id"],
                name="job_claim",
                condition=models.Q(status="queued"),
            ),
            models.Index(
                fields=["lease_expires_at"],
                name="job_leases",
                condition=models.Q(status="processing"),
            ),
            models.Index(
                fields=["due_at"],
                name="job_due",
                condition=models.Q(status="held", held_reason="due"),
            ),
            models.Index(
                fields=["deadline_at"],
                name="job_deadlines",
                condition=models.Q(status__in=["queued", "held"], deadline_at__isnull=False),
            ),
            models.Index(
                fields=["sequence_key", "created_at"],
                name="job_sequence",
                condition=models.Q(
                    sequence_key__isnull=False, status__in=["held", "queued", "processing"]
                ),
            ),
            models.Index(fields=["level"], name="job_held", condition=models.Q(status="held")),
            models.Index(
                fields=["level", "flow", "id"],
                name="job_backlog",
                condition=models.Q(status="held", held_reason="backlog"),
            ),
            models.Index(fields=["tenant_id", "-created_at"], name="job_tenant"),
            models.Index(fields=["-created_at"], name="job_created"),
            models.Index(
                fields=["-finished_at"],
                name="job_finished",
                condition=models.Q(finished_at__isnull=False),
            ),
            models.Index(
                fields=["-finished_at", "level"],
                name="job_dead_letters",
                condition=models.Q(status="failed"),
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def priority(self) -> Priority:
        return Priority(self.level)


class JobPayload(models.Model):
    """The request as it goes upstream: the JSON object of the endpoint's API."""

    job = models.OneToOneField(
        Job, models.CASCADE, primary_key=True, db_constraint=False, related_name="payload"
    )
    body = models.TextField()


class JobResult(models.Model):
    """The one stored answer: the upstream response object as JSON, and its text."""

    job = models.OneToOneField(
        Job, models.CASCADE, primary_key=True, db_constraint=False, related_name="result"
    )
    body = models.TextField()
    text = models.TextField()


class Attempt(models.Model):
    """One attempt of a job at one endpoint; the row is written when the attempt ends."""

    class Outcome(models.TextChoices):
        OK = "ok"
        ERROR = "error"
        CANCELLED = "cancelled"
        TIMEOUT = "timeout"
        LOST = "lost", "lease lost"

    job = models.ForeignKey(Job, models.CASCADE, db_constraint=False, related_name="tries")
    number = models.SmallIntegerField()
    endpoint = models.ForeignKey(
        "balancing.Endpoint", models.SET_NULL, null=True, db_constraint=False, related_name="+"
    )
    endpoint_name = models.CharField(
        max_length=64, blank=True, default="", db_default="", help_text="outlives the endpoint"
    )
    worker = models.CharField(max_length=100, blank=True, default="")
    outcome = models.CharField(max_length=10, choices=Outcome.choices)
    error_code = models.CharField(max_length=40, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    started_at = models.DateTimeField(null=True)
    first_token_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField()
    spent_micros = models.BigIntegerField(null=True, help_text="in millionths of the currency")
    why: models.JSONField[Any] = models.JSONField(
        null=True, help_text="how the endpoint was chosen"
    )

    class Meta:
        ordering = ["-ended_at"]
        indexes = [models.Index(fields=["endpoint", "-ended_at"], name="attempt_endpoint")]

    def __str__(self) -> str:
        return f"{self.job_id} #{self.number}"
