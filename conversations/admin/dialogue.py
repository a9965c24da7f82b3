"""Conversations and messages in admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.decorators import display

from balancing.admin.listing import ListAdmin, ReadOnlyAdmin, age
from conversations.dialogue import services
from conversations.errors import ConversationClosed
from conversations.models import Conversation, Message
from conversations.models.dialogue import TURN_ORDER
from scheduling import services as scheduling
from scheduling.admin.display import STATUS_COLOURS, link, parsed_id
from scheduling.errors import SchedulingError
from scheduling.models import Priority

State = Conversation.State
STATE_COLOURS = {
    State.ACTIVE: "success",
    State.INACTIVE: "warning",
    State.COMPLETED: "info",
}


class MessageInline(TabularInline):
    model = Message
    fk_name = "conversation"
    fields = ("role", "excerpt", "job_status", "created_at")
    readonly_fields = fields
    extra = 0
    per_page = 50
    can_delete = False
    show_change_link = True
    ordering = TURN_ORDER

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        rows: QuerySet[Message] = super().get_queryset(request)
        return rows.select_related("job")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="content")
    def excerpt(self, row: Message) -> str:
        return _excerpt(row.content, 300)

    @display(description="status", label=STATUS_COLOURS)
    def job_status(self, row: Message) -> str | None:
        return row.job.status if row.job else None


@admin.register(Conversation)
class ConversationAdmin(ListAdmin):
    list_display = (
        "shown_title",
        "tenant",
        "user",
        "shown_state",
        "priority",
        "message_count",
        "shown_age",
    )
    list_filter = ("state", "priority")
    list_select_related = ("tenant", "user")
    search_fields = ("title",)
    search_help_text = "Conversation id, a user's external id, or the start of the title"
    autocomplete_fields = ("tenant", "user")
    readonly_fields = (
        "id",
        "state",
        "message_count",
        "created_at",
        "updated_at",
        "last_active_at",
    )
    inlines = (MessageInline,)
    actions = ("complete", "archive")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return (*self.readonly_fields, "tenant", "user")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Conversation], search_term: str
    ) -> tuple[QuerySet[Conversation], bool]:
        text = search_term.strip()
        if not text or "\x00" in text:
            return queryset, False
        if identifier := parsed_id(text):
            return queryset.filter(pk=identifier), False
        by_user = queryset.filter(user__external_id=text)
        found = by_user if by_user.exists() else queryset.filter(title__istartswith=text)
        return found, False

    def delete_model(self, request: HttpRequest, obj: Conversation) -> None:
        services.delete_conversation(conversation=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> None:
        for row in queryset:
            services.delete_conversation(conversation=row)

    @display(description="conversation", ordering="title")
    def shown_title(self, row: Conversation) -> str:
        return row.title or f"{row.pk.hex[:8]}…"

    @display(description="state", ordering="state", label=STATE_COLOURS)
    def shown_state(self, row: Conversation) -> str:
        return row.state

    @display(description="last active", ordering="last_active_at")
    def shown_age(self, row: Conversation) -> str:
        return age(row.last_active_at)

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("conversations.change_conversation"))

    @admin.action(description="Complete", permissions=["steer"])
    def complete(self, request: HttpRequest, rows: QuerySet[Conversation]) -> None:
        self._move(request, rows, State.COMPLETED)

    @admin.action(description="Archive: cannot be undone", permissions=["steer"])
    def archive(self, request: HttpRequest, rows: QuerySet[Conversation]) -> None:
        self._move(request, rows, State.ARCHIVED)

    def _move(self, request: HttpRequest, rows: QuerySet[Conversation], state: State) -> None:
        moved, refused = 0, 0
        for row in rows[:1000]:
            try:
                services.change_state(conversation=row, state=state)
                moved += 1
            except ConversationClosed:
                refused += 1
        text = f"{moved} conversations {state.value}" + (f", {refused} refused" if refused else "")
        self.message_user(request, text, messages.WARNING if refused else messages.SUCCESS)


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    list_display = (
        "excerpt",
        "role",
        "tenant",
        "user",
        "shown_status",
        "shown_priority",
        "shown_age",
    )
    list_filter = ("role", "job__status", "job__level")
    list_select_related = ("tenant", "user", "job")
    search_fields = ("id",)
    search_help_text = "Message or conversation id, or a user's external id"
    actions = ("cancel", "retry")
    fields = (
        ("role", "shown_status", "shown_priority"),
        ("tenant", "user"),
        ("shown_conversation", "shown_job", "shown_reply_to"),
        "content",
        "shown_answer",
        "metadata",
        "analysis",
        ("created_at", "updated_at"),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Message], search_term: str
    ) -> tuple[QuerySet[Message], bool]:
        text = search_term.strip()
        if not text or "\x00" in text:
            return queryset, False
        if identifier := parsed_id(text):
            own = queryset.filter(pk=identifier)
            return (own if own.exists() else queryset.filter(conversation=identifier)), False
        return queryset.filter(user__external_id=text), False

    @display(description="message")
    def excerpt(self, row: Message) -> str:
        return _excerpt(row.content, 80)

    @display(description="status", ordering="job__status", label=STATUS_COLOURS)
    def shown_status(self, row: Message) -> str | None:
        return row.job.status if row.job else None

    @display(description="priority", ordering="job__level")
    def shown_priority(self, row: Message) -> str:
        return Priority(row.job.level).label if row.job else "-"

    @display(description="age", ordering="created_at")
    def shown_age(self, row: Message) -> str:
        return age(row.created_at)

    @display(description="conversation")
    def shown_conversation(self, row: Message) -> str:
        if row.conversation is None:
            return "-"
        return link("conversations_conversation_change", row.conversation_id, row.conversation)

    @display(description="job")
    def shown_job(self, row: Message) -> str:
        return link("scheduling_job_change", row.job_id, row.job_id) if row.job_id else "-"

    @display(description="answers")
    def shown_reply_to(self, row: Message) -> str:
        if row.reply_to is None:
            return "-"
        return link("conversations_message_change", row.reply_to_id, row.reply_to)

    @display(description="answer")
    def shown_answer(self, row: Message) -> str:
        reply = getattr(row, "reply", None)
        return link("conversations_message_change", reply.pk, reply.content) if reply else "-"

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("scheduling.change_job"))

    @admin.action(description="Cancel", permissions=["steer"])
    def cancel(self, request: HttpRequest, rows: QuerySet[Message]) -> None:
        jobs = list(self._jobs(rows))
        done = len(scheduling.cancel_many(job_ids=jobs))
        self._report(request, done, len(jobs) - done, "cancelled")

    @admin.action(description="Retry (failed, timed out, cancelled)", permissions=["steer"])
    def retry(self, request: HttpRequest, rows: QuerySet[Message]) -> None:
        done, refused = 0, 0
        for job_id in self._jobs(rows):
            try:
                scheduling.requeue(job_id=job_id)
                done += 1
            except SchedulingError:
                refused += 1
        self._report(request, done, refused, "queued again")

    def _jobs(self, rows: QuerySet[Message]) -> QuerySet[Message, Any]:
        with_job = rows.order_by().filter(job__isnull=False)
        return with_job.values_list("job_id", flat=True)[:1000]

    def _report(self, request: HttpRequest, done: int, refused: int, outcome: str) -> None:
        text = f"{done} messages {outcome}" + (f", {refused} refused" if refused else "")
        self.message_user(request, text, messages.WARNING if refused else messages.SUCCESS)


def _excerpt(text: str, length: int) -> str:
    plain = " ".join(text[: length * 2].split())
    return plain if len(plain) <= length else f"{plain[:length]}…"
