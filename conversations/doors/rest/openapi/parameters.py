"""Which query parameters do lists take, in the OpenAPI document?"""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from conversations.doors.rest.protocol import statuses
from conversations.doors.rest.requests.filters import CONVERSATION_ORDERS, MESSAGE_ORDERS
from conversations.models import Conversation as ConversationRow
from scheduling.models import Priority


def _query(name: str, text: str = "", *, enum: list[str] | None = None) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.STR, description=text, enum=enum)


PAGES = [
    OpenApiParameter("page", OpenApiTypes.INT, description="from 1"),
    OpenApiParameter("page_size", OpenApiTypes.INT, description="20, at most 100"),
]
MESSAGE_FILTERS = [
    *PAGES,
    _query("conversation_id"),
    _query("user_id"),
    _query("status", enum=statuses.NAMES),
    _query("priority", enum=list(Priority.labels)),
    _query("sort", f"{', '.join(MESSAGE_ORDERS)}; with `-` the other way round"),
]
CONVERSATION_FILTERS = [
    *PAGES,
    _query("user_id"),
    _query("state", enum=list(ConversationRow.State.values)),
    _query("priority", enum=list(Priority.labels)),
    _query("sort", f"{', '.join(CONVERSATION_ORDERS)}; with `-` the other way round"),
]
