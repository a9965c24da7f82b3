"""Which page of a list is asked for? `page` and `page_size`, with counts of bounded cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from conversations.doors.rest.protocol.envelope import success
from conversations.doors.rest.protocol.refusals import Code, RestError

DEFAULT_SIZE, LARGEST_SIZE = 20, 100
COUNT_CAP = 100_000
_LARGEST_PAGE = 1_000_000


class EnvelopePagination(BasePagination):
    """`total` is exact up to `COUNT_CAP`; a longer list has `total_is_capped`."""

    page = 1
    page_size = DEFAULT_SIZE
    total = 0

    def paginate_queryset(self, queryset: Any, request: Request, _view: Any = None) -> list[Any]:
        self.page = number(request, "page", default=1, largest=_LARGEST_PAGE)
        size = number(request, "page_size", default=DEFAULT_SIZE, largest=None)
        self.page_size = min(size, LARGEST_SIZE)
        self.total = capped_count(queryset)
        start = (self.page - 1) * self.page_size
        if start >= self.total and self.total < COUNT_CAP:
            return []
        return list(queryset[start : start + self.page_size])

    def get_paginated_response(self, data: Sequence[Any]) -> Response:
        return success({"items": data, "pagination": self.summary()})

    def summary(self) -> dict[str, Any]:
        summary = {
            "page": self.page,
            "page_size": self.page_size,
            "total": self.total,
            "total_pages": -(-self.total // self.page_size),
        }
        return summary | ({"total_is_capped": True} if self.total >= COUNT_CAP else {})

    def get_schema_operation_parameters(self, _view: Any) -> list[dict[str, Any]]:
        schema = {"type": "integer", "minimum": 1}
        return [
            {"name": "page", "in": "query", "schema": schema | {"default": 1}},
            {
                "name": "page_size",
                "in": "query",
                "description": f"Larger values count as {LARGEST_SIZE}.",
                "schema": schema | {"default": DEFAULT_SIZE},
            },
        ]


def capped_count(queryset: QuerySet[Any], cap: int = COUNT_CAP) -> int:
    """How many rows there are, counted up to `cap`."""
    return queryset.order_by()[:cap].count()


def number(request: Request, name: str, *, default: int, largest: int | None) -> int:
    """A positive whole number of the query string.

    Raises:
        RestError: it is not one.
    """
    text = request.query_params.get(name, "")
    if not text:
        return default
    # isdecimal alone would accept other scripts' digits; int() of a long text is slow.
    if not (text.isascii() and text.isdecimal()) or len(text) > 12 or int(text) < 1:
        raise RestError(Code.MALFORMED_BODY, "must be a whole number from 1", field=name)
    value = int(text)
    if largest is not None and value > largest:
        raise RestError(Code.MALFORMED_BODY, f"must be at most {largest}", field=name)
    return value
