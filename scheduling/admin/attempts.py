"""Attempts in admin, in a list and on the page of their job."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe
from unfold.admin import TabularInline
from unfold.decorators import display

from balancing.admin.listing import ReadOnlyAdmin
from balancing.choice.explanation import in_words
from scheduling.admin.display import OUTCOME_COLOURS, between, link, parsed_id, spent
from scheduling.models import Attempt


def where(row: Attempt) -> str:
    """The endpoint's page; its name alone once it is gone."""
    name = row.endpoint_name or (row.endpoint.name if row.endpoint else "-")
    return link("balancing_endpoint_change", row.endpoint_id, name) if row.endpoint else name


def why_lines(row: Attempt) -> str:
    """How the endpoint was chosen: profile, scores, and why the others were not."""
    return format_html_join(mark_safe("<br>"), "{}", ((line,) for line in in_words(row.why))) or "-"


class AttemptInline(TabularInline):
    model = Attempt
    fields = (
        "number",
        "shown_outcome",
        "where",
        "took",
        "spent",
        "worker",
        "error",
        "shown_why",
    )
    readonly_fields = fields
    extra = 0
    can_delete = False
    ordering = ("pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Attempt]:
        rows: QuerySet[Attempt] = super().get_queryset(request)
        return rows.select_related("endpoint")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="outcome", label=OUTCOME_COLOURS)
    def shown_outcome(self, row: Attempt) -> str:
        return row.outcome

    @display(description="took")
    def took(self, row: Attempt) -> str:
        return between(row.started_at, row.ended_at)

    @display(description="endpoint", ordering="endpoint_name")
    def where(self, row: Attempt) -> str:
        return where(row)

    @display(description="spent")
    def spent(self, row: Attempt) -> str:
        return spent(row.spent_micros)

    @display(description="why there")
    def shown_why(self, row: Attempt) -> str:
        return why_lines(row)

    @display(description="error")
    def error(self, row: Attempt) -> str:
        return f"{row.error_code} {row.error_message}"[:300].strip() or "-"


@admin.register(Attempt)
class AttemptAdmin(ReadOnlyAdmin):
    list_display = ("shown_job", "number", "shown_outcome", "where", "took", "spent", "error_code")
    list_filter = ("outcome", "endpoint")
    list_select_related = ("endpoint",)
    search_fields = ("job__id",)
    search_help_text = "Job id"
    fieldsets = (
        (None, {"fields": ("shown_job", "number", "shown_outcome", "endpoint", "worker")}),
        ("Why this endpoint", {"fields": ("shown_why",)}),
        ("Error", {"fields": ("error_code", "error_message")}),
        ("Times", {"fields": ("started_at", "first_token_at", "ended_at", "took")}),
    )
    readonly_fields = ("shown_job", "shown_outcome", "shown_why", "took")

    @display(description="why there")
    def shown_why(self, row: Attempt) -> str:
        return why_lines(row)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Attempt], search_term: str
    ) -> tuple[QuerySet[Attempt], bool]:
        identifier = parsed_id(search_term.strip())
        if identifier is None:
            return (queryset.none() if search_term.strip() else queryset), False
        return queryset.filter(job_id=identifier), False

    @display(description="job")
    def shown_job(self, row: Attempt) -> str:
        return link("scheduling_job_change", row.job_id, f"{row.job_id.hex[:8]}…")

    @display(description="endpoint", ordering="endpoint_name")
    def where(self, row: Attempt) -> str:
        return where(row)

    @display(description="spent")
    def spent(self, row: Attempt) -> str:
        return spent(row.spent_micros)

    @display(description="outcome", ordering="outcome", label=OUTCOME_COLOURS)
    def shown_outcome(self, row: Attempt) -> str:
        return row.outcome

    @display(description="took")
    def took(self, row: Attempt) -> str:
        return between(row.started_at, row.ended_at)
