"""Jobs in admin: what waits, what runs, what ran, and an operator's actions on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from balancing.admin.listing import ReadOnlyAdmin, age
from balancing.admin.object_actions import ObjectActions
from scheduling import services
from scheduling.admin.attempts import AttemptInline
from scheduling.admin.display import (
    LEVEL_COLOURS,
    STATUS_COLOURS,
    between,
    link,
    parsed_id,
    preformatted,
    spent,
)
from scheduling.errors import SchedulingError
from scheduling.models import Job, Priority, Status

LARGEST_ACTION = 1000


class DeadLetters(admin.SimpleListFilter):
    """Jobs that used up their attempts."""

    title = "dead letters"
    parameter_name = "dead"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Dead letters")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        return queryset.filter(status=Status.FAILED) if self.value() == "yes" else queryset


@admin.register(Job)
class JobAdmin(ObjectActions, ReadOnlyAdmin):
    list_display = (
        "shown_id",
        "shown_status",
        "shown_level",
        "model",
        "flow",
        "source",
        "shown_age",
        "wait",
        "tries_used",
        "error_code",
    )
    list_filter = (DeadLetters, "status", "level", "held_reason")
    list_select_related = ("flow",)
    search_fields = ("id",)
    search_help_text = "Job or message id, request id, model, error code or worker"
    actions = object_actions = (
        "cancel",
        "requeue",
        "to_realtime",
        "to_high",
        "to_normal",
        "to_low",
    )
    inlines = (AttemptInline,)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("status", "held_reason"),
                    ("level", "priority_reason"),
                    ("model", "api", "stream"),
                    ("source", "shown_message"),
                    "request_id",
                    ("error_code", "error_message"),
                )
            },
        ),
        (
            "Order",
            {
                "fields": (
                    ("flow", "fair_tag", "cost"),
                    "tenant_id",
                    "user_id",
                    "sequence_key",
                )
            },
        ),
        (
            "Running",
            {
                "fields": (
                    ("tries_used", "worker", "cancel_requested"),
                    ("lease_expires_at", "prompt_tokens", "completion_tokens"),
                    "spent",
                )
            },
        ),
        (
            "Times",
            {
                "fields": (
                    ("created_at", "due_at", "deadline_at"),
                    ("started_at", "first_token_at", "finished_at"),
                    ("shown_age", "wait"),
                )
            },
        ),
        ("Content", {"fields": ("request_body", "answer"), "classes": ["collapse"]}),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Job], search_term: str
    ) -> tuple[QuerySet[Job], bool]:
        """Search by equality on indexed columns: a search for substrings would read every row."""
        text = search_term.strip()
        if not text or "\x00" in text:
            return queryset, False
        if identifier := parsed_id(text):
            return queryset.filter(pk=identifier), False
        for column in ("request_id", "model", "error_code"):
            if queryset.filter(**{column: text}).exists():
                return queryset.filter(**{column: text}), False
        return queryset.filter(worker=text), False

    @display(description="job", ordering="created_at")
    def shown_id(self, row: Job) -> str:
        return f"{row.pk.hex[:8]}…{row.pk.hex[-6:]}"

    @display(description="status", ordering="status", label=STATUS_COLOURS)
    def shown_status(self, row: Job) -> tuple[str, str]:
        reason = f": {row.get_held_reason_display()}" if row.held_reason else ""
        asked = " (ending)" if row.cancel_requested and row.status == Status.PROCESSING else ""
        return row.status, f"{row.status}{reason}{asked}"

    @display(description="priority", ordering="level", label=LEVEL_COLOURS)
    def shown_level(self, row: Job) -> str:
        return row.priority.label

    @display(description="age", ordering="created_at")
    def shown_age(self, row: Job) -> str:
        return age(row.created_at)

    @display(description="waited")
    def wait(self, row: Job) -> str:
        return between(row.created_at, row.started_at or row.finished_at) if row.pk else "-"

    @display(description="attempts", ordering="attempts")
    def tries_used(self, row: Job) -> str:
        return f"{row.attempts} / {row.max_attempts}"

    @display(description="spent")
    def spent(self, row: Job) -> str:
        return spent(row.spent_micros, estimated=row.spent_estimated)

    @display(description="message")
    def shown_message(self, row: Job) -> str:
        message = getattr(row, "message", None)
        return link("conversations_message_change", message.pk, message) if message else "-"

    @display(description="request")
    def request_body(self, row: Job) -> str:
        return preformatted(getattr(row, "payload", None), "body")

    @display(description="answer")
    def answer(self, row: Job) -> str:
        return preformatted(getattr(row, "result", None), "text")

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("scheduling.change_job"))

    @admin.action(description="Cancel", permissions=["steer"])
    def cancel(self, request: HttpRequest, rows: QuerySet[Job]) -> None:
        chosen = self._chosen(rows)
        done = len(services.cancel_many(job_ids=chosen[:LARGEST_ACTION]))
        self._report(request, chosen, done, "cancelled")

    @admin.action(description="Requeue (failed, timed out, cancelled)", permissions=["steer"])
    def requeue(self, request: HttpRequest, rows: QuerySet[Job]) -> None:
        self._each(request, rows, services.requeue, "requeued")

    @admin.action(description="Move to realtime", permissions=["steer"])
    def to_realtime(self, request: HttpRequest, rows: QuerySet[Job]) -> None:
        self._move(request, rows, Priority.REALTIME)

    @admin.action(description="Move to high", permissions=["steer"])
    def to_high(self, request: HttpRequest, rows: QuerySet[Job]) -> None:
        self._move(request, rows, Priority.HIGH)

    @admin.action(description="Move to normal", permissions=["steer"])
    def to_normal(self, request: HttpRequest, rows: QuerySet[Job]) -> None:
        self._move(request, rows, Priority.NORMAL)

    @admin.action(description="Move to low", permissions=["steer"])
    def to_low(self, request: HttpRequest, rows: QuerySet[Job]) -> None:
        self._move(request, rows, Priority.LOW)

    def _move(self, request: HttpRequest, rows: QuerySet[Job], level: Priority) -> None:
        move = partial(services.reprioritise, level=level)
        self._each(request, rows, move, f"moved to {level.label}")

    def _each(
        self,
        request: HttpRequest,
        rows: QuerySet[Job],
        change: Callable[..., object],
        outcome: str,
    ) -> None:
        """Change the selected jobs one by one; refusals are counted and do not end the action."""
        chosen = self._chosen(rows)
        refused = 0
        for job_id in chosen[:LARGEST_ACTION]:
            try:
                change(job_id=job_id)
            except SchedulingError:
                refused += 1
        self._report(request, chosen, len(chosen[:LARGEST_ACTION]) - refused, outcome)

    def _chosen(self, rows: QuerySet[Job]) -> list[UUID]:
        """The selected jobs, and one more if they are too many."""
        return list(rows.order_by().values_list("pk", flat=True)[: LARGEST_ACTION + 1])

    def _report(
        self, request: HttpRequest, chosen: Sequence[UUID], done: int, outcome: str
    ) -> None:
        refused = len(chosen[:LARGEST_ACTION]) - done
        if done:
            self.message_user(request, f"{done} jobs {outcome}.", messages.SUCCESS)
        if refused:
            text = f"{refused} jobs were in a state that does not allow it."
            self.message_user(request, text, messages.WARNING)
        if len(chosen) > LARGEST_ACTION:
            text = f"The first {LARGEST_ACTION} were changed: run the action again for the rest."
            self.message_user(request, text, messages.WARNING)
