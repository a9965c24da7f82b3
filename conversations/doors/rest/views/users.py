"""`/users/{id}`, where the id is the tenant's own name for the user."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from conversations.access.visibility import visible_conversations
from conversations.doors.rest.answers import render
from conversations.doors.rest.openapi import message_shapes, parameters, shapes
from conversations.doors.rest.protocol.envelope import Resource
from conversations.doors.rest.protocol.pagination import EnvelopePagination
from conversations.doors.rest.requests import fields, filters


class UserConversations(Resource):
    query_fields = {"GET": filters.CONVERSATIONS}

    @extend_schema(
        operation_id="list_user_conversations",
        parameters=parameters.CONVERSATION_FILTERS,
        responses={200: shapes.page_of(message_shapes.Conversation), **shapes.REFUSALS},
    )
    def get(self, request: Request, user_id: str) -> Response:
        """A user's conversations; none for a user not seen yet."""
        name = fields.user_id(user_id)
        rows = visible_conversations(self.caller).filter(user__external_id=name)
        pages = EnvelopePagination()
        found = filters.conversations(rows.select_related("user"), request)
        page = pages.paginate_queryset(found, request)
        return pages.get_paginated_response([render.conversation(row) for row in page])
