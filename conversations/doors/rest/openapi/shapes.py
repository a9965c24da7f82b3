"""Which shapes do all answers have in the OpenAPI document? They validate nothing.

`requests/` reads the requests: it is fast enough for batches, and refuses with business codes.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from drf_spectacular.utils import OpenApiResponse, inline_serializer
from rest_framework import serializers

from scheduling.models import Priority

LEVELS = [(name, name) for name in Priority.labels]


class Deleted(serializers.Serializer[Any]):
    id = serializers.CharField()
    deleted = serializers.BooleanField()


class Details(serializers.Serializer[Any]):
    field = serializers.CharField(allow_null=True)
    reason = serializers.CharField()


class Error(serializers.Serializer[Any]):
    code = serializers.IntegerField(help_text="The business code.")
    message = serializers.CharField()
    error = serializers.CharField()
    details = Details()
    timestamp = serializers.DateTimeField()


class Pagination(serializers.Serializer[Any]):
    page = serializers.IntegerField()
    page_size = serializers.IntegerField()
    total = serializers.IntegerField()
    total_pages = serializers.IntegerField()
    total_is_capped = serializers.BooleanField(required=False)


@cache
def enveloped(data: Any, name: str = "") -> Any:
    """The envelope around `data`, a serializer or field class: one component for all its uses."""
    return _enveloped(data(), name or data.__name__)


@cache
def page_of(item: Any) -> Any:
    name = f"{item.__name__}Page"
    fields = {"items": item(many=True), "pagination": Pagination()}
    return _enveloped(inline_serializer(name=name, fields=fields), name)


def _enveloped(data: Any, name: str) -> Any:
    return inline_serializer(
        name=f"{name}Envelope",
        fields={
            "code": serializers.IntegerField(),
            "message": serializers.CharField(),
            "data": data,
            "timestamp": serializers.DateTimeField(),
        },
    )


ANYTHING = serializers.DictField

REFUSALS: dict[Any, Any] = {
    400: OpenApiResponse(Error, "1001, 1002, 1003, 1006, 1014: the request is not valid"),
    401: OpenApiResponse(Error, "1011: no valid API key"),
    403: OpenApiResponse(Error, "1012: the key may not do that"),
    404: OpenApiResponse(Error, "1004, 1005, 1016: no such thing, or another tenant's"),
    409: OpenApiResponse(Error, "1013: the present state does not allow it"),
}
SUBMIT_REFUSALS: dict[Any, Any] = REFUSALS | {
    413: OpenApiResponse(Error, "1015: the body is too large"),
    429: OpenApiResponse(Error, "1009: too many requests; see Retry-After"),
    503: OpenApiResponse(Error, "1007, 1008, 2001, 2003, 2006: try again after Retry-After"),
}
