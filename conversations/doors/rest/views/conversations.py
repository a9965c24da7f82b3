"""`/conversations`: open, change, end, and their messages."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from conversations.access.visibility import visible_conversations, visible_messages
from conversations.dialogue import services
from conversations.doors.rest.answers import render
from conversations.doors.rest.openapi import message_shapes, parameters, shapes
from conversations.doors.rest.protocol import ids
from conversations.doors.rest.protocol.envelope import Resource, success
from conversations.doors.rest.protocol.pagination import EnvelopePagination
from conversations.doors.rest.requests import drafts, fields, filters
from conversations.models import Conversation


class Conversations(Resource):
    body_fields = {"POST": drafts.CONVERSATION}
    query_fields = {"GET": filters.CONVERSATIONS}

    @extend_schema(
        operation_id="open_conversation",
        request=message_shapes.ConversationDraft,
        responses={201: shapes.enveloped(message_shapes.Conversation), **shapes.REFUSALS},
    )
    def post(self, _request: Request) -> Response:
        """Open a conversation."""
        draft = drafts.conversation(self.document)
        row = services.open_conversation(caller=self.caller, draft=draft)
        return success(render.conversation(row), 201)

    @extend_schema(
        operation_id="list_conversations",
        parameters=parameters.CONVERSATION_FILTERS,
        responses={200: shapes.page_of(message_shapes.Conversation), **shapes.REFUSALS},
    )
    def get(self, request: Request) -> Response:
        """The conversations, the latest active first."""
        rows = visible_conversations(self.caller).select_related("user")
        pages = EnvelopePagination()
        page = pages.paginate_queryset(filters.conversations(rows, request), request)
        return pages.get_paginated_response([render.conversation(row) for row in page])


class OneConversation(Resource):
    body_fields = {"PUT": frozenset(drafts.CHANGES)}

    @extend_schema(
        operation_id="get_conversation",
        responses={200: shapes.enveloped(message_shapes.Conversation), **shapes.REFUSALS},
    )
    def get(self, _request: Request, conversation_id: str) -> Response:
        """A conversation."""
        return success(render.conversation(filters.conversation(self.caller, conversation_id)))

    @extend_schema(
        operation_id="change_conversation",
        request=message_shapes.ConversationChanges,
        responses={200: shapes.enveloped(message_shapes.Conversation), **shapes.REFUSALS},
    )
    def put(self, _request: Request, conversation_id: str) -> Response:
        """Change the fields that the body names; the others keep their values."""
        changes = drafts.conversation_changes(self.document)
        row = filters.conversation(self.caller, conversation_id)
        return success(render.conversation(_changed(row, changes)))

    @extend_schema(
        operation_id="delete_conversation",
        responses={200: shapes.enveloped(shapes.Deleted), **shapes.REFUSALS},
    )
    def delete(self, _request: Request, conversation_id: str) -> Response:
        """Remove a conversation with its messages; waiting turns are cancelled."""
        row = filters.conversation(self.caller, conversation_id)
        shown = ids.shown(ids.CONVERSATION, row.pk)
        services.delete_conversation(conversation=row)
        return success({"id": shown, "deleted": True})


def _changed(row: Conversation, changes: dict[str, object]) -> Conversation:
    for name, value in changes.items():
        setattr(row, name, value)
    row.save(update_fields=[*changes, "updated_at"])
    return row


class ConversationState(Resource):
    body_fields = {"PUT": frozenset({"state"})}

    @extend_schema(
        operation_id="set_conversation_state",
        request=message_shapes.StateChange,
        responses={200: shapes.enveloped(message_shapes.Conversation), **shapes.REFUSALS},
    )
    def put(self, _request: Request, conversation_id: str) -> Response:
        """Move a conversation along its lifecycle."""
        states = list(Conversation.State.values)
        state = fields.one_of(self.document.get("state"), states, "state")
        row = filters.conversation(self.caller, conversation_id)
        services.change_state(conversation=row, state=state)
        return success(render.conversation(filters.conversation(self.caller, conversation_id)))


class ConversationMessages(Resource):
    body_fields = {"POST": drafts.MESSAGE}
    query_fields = {"GET": filters.MESSAGES}

    @extend_schema(
        operation_id="send_conversation_message",
        request=message_shapes.MessageDraft,
        responses={201: shapes.enveloped(message_shapes.Message), **shapes.SUBMIT_REFUSALS},
    )
    def post(self, _request: Request, conversation_id: str) -> Response:
        """Submit the conversation's next message."""
        identifier = ids.conversation(conversation_id)
        draft = drafts.message(self.document, conversation_id=identifier)
        row = services.send(caller=self.caller, draft=draft, request_id=self.request_id)
        return success(render.messages([row])[0], 201)

    @extend_schema(
        operation_id="list_conversation_messages",
        parameters=parameters.MESSAGE_FILTERS,
        responses={200: shapes.page_of(message_shapes.Message), **shapes.REFUSALS},
    )
    def get(self, request: Request, conversation_id: str) -> Response:
        """The history, turn by turn: each question with its answer behind it, oldest first."""
        row = filters.conversation(self.caller, conversation_id)
        rows = render.readable(visible_messages(self.caller).filter(conversation=row))
        rows = filters.dialogue(rows, request, self.caller)
        pages = EnvelopePagination()
        page = pages.paginate_queryset(rows, request)
        return pages.get_paginated_response(render.messages(page))
