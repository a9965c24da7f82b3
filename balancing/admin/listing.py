"""How does admin list millions of rows? It counts only up to a cap."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin

COUNT_CAP = 10_000


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # not generic when it runs
    """Counts up to `COUNT_CAP`; search and filters find older rows."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[:COUNT_CAP].count())


class ListAdmin(ModelAdmin):
    """Base of all admin pages of the project."""

    paginator: type[Paginator[Any]] = CappedPaginator
    show_full_result_count = False
    list_per_page = 50
    compressed_fields = True
    warn_unsaved_form = True


class ReadOnlyAdmin(ListAdmin):
    """Base of pages for rows that only services change."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def joined(names: Any, separator: str = ", ") -> str:
    """The names of a JSON column on one line; a column that holds no list is shown as it is."""
    return separator.join(map(str, names)) if isinstance(names, list) else str(names)


def age(moment: datetime | None, *, now: datetime | None = None) -> str:
    """How long ago a moment was, in the largest unit: `42 s`, `3 min`, `5 h`, `2 d`."""
    if moment is None:
        return "-"
    seconds = max(0.0, ((now or timezone.now()) - moment).total_seconds())
    return span(seconds)


def span(seconds: float | None) -> str:
    """A length of time in the largest unit."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds >= 0.01 else "0 s"
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"
