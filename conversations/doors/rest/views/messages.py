"""`/messages`: submit, look up, cancel, retry, delete."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from conversations.access.keys import Caller
from conversations.access.visibility import visible_messages
from conversations.dialogue import services
from conversations.doors.rest.answers import render
from conversations.doors.rest.openapi import message_shapes, parameters, shapes
from conversations.doors.rest.protocol import ids, statuses
from conversations.doors.rest.protocol.envelope import Resource, success
from conversations.doors.rest.protocol.pagination import EnvelopePagination
from conversations.doors.rest.protocol.refusals import Code, RestError
from conversations.doors.rest.requests import drafts, fields, filters
from conversations.models import Message
from scheduling.errors import IllegalTransition
from scheduling.models import Status


def find(caller: Caller, message_id: str) -> Message:
    """The caller's message of that id, ready for rendering."""
    rows = visible_messages(caller).select_related("user", "job", "reply")
    row = rows.filter(pk=ids.message(message_id)).first()
    if row is None:
        raise RestError(Code.MESSAGE_NOT_FOUND, field="id")
    return row


class Messages(Resource):
    body_fields = {"POST": drafts.MESSAGE}
    query_fields = {"GET": filters.MESSAGES}

    @extend_schema(
        operation_id="send_message",
        request=message_shapes.MessageDraft,
        responses={201: shapes.enveloped(message_shapes.Message), **shapes.SUBMIT_REFUSALS},
    )
    def post(self, _request: Request) -> Response:
        """Submit a message; its request is queued when this answers 201."""
        draft = drafts.message(self.document)
        row = services.send(caller=self.caller, draft=draft, request_id=self.request_id)
        shown = render.messages([row])[0]
        headers = {}
        if shown["position"] is not None:
            headers["X-LLMQueue-Position"] = str(shown["position"])
        if shown["estimated_wait"] is not None:
            headers["X-LLMQueue-Estimated-Wait"] = f"{shown['estimated_wait']:.1f}"
        return success(shown, 201, headers)

    @extend_schema(
        operation_id="list_messages",
        parameters=parameters.MESSAGE_FILTERS,
        responses={200: shapes.page_of(message_shapes.Message), **shapes.REFUSALS},
    )
    def get(self, request: Request) -> Response:
        """The messages submitted, newest first."""
        rows = visible_messages(self.caller).filter(role=Message.Role.USER)
        rows = filters.messages(render.readable(rows), request, self.caller)
        pages = EnvelopePagination()
        page = pages.paginate_queryset(rows, request)
        return pages.get_paginated_response(render.messages(page))


class MessageBatch(Resource):
    body_fields = {"POST": frozenset({"messages"})}

    @extend_schema(
        operation_id="send_messages",
        request=message_shapes.MessageBatch,
        responses={201: shapes.enveloped(message_shapes.BatchReceipt), **shapes.SUBMIT_REFUSALS},
    )
    def post(self, _request: Request) -> Response:
        """Submit up to 10,000 messages: all of them, or none when one is refused."""
        batch = drafts.batch(self.document)
        rows = services.send_many(caller=self.caller, drafts=batch, request_id=self.request_id)
        receipts = [render.accepted(row) for row in rows]
        return success({"count": len(receipts), "messages": receipts}, 201)


class OneMessage(Resource):
    @extend_schema(
        operation_id="get_message",
        responses={200: shapes.enveloped(message_shapes.MessageDetail), **shapes.REFUSALS},
    )
    def get(self, _request: Request, message_id: str) -> Response:
        """A message with its answer, usage, timings and attempts."""
        return success(render.detail(find(self.caller, message_id)))

    @extend_schema(
        operation_id="delete_message",
        responses={200: shapes.enveloped(shapes.Deleted), **shapes.REFUSALS},
    )
    def delete(self, _request: Request, message_id: str) -> Response:
        """Remove a message and its answer; one that waits is cancelled first."""
        row = find(self.caller, message_id)
        shown = ids.shown(ids.MESSAGE, row.pk)
        services.delete(message=row)
        return success({"id": shown, "deleted": True})


class MessageStatus(Resource):
    body_fields = {"PUT": frozenset({"status"})}

    @extend_schema(
        operation_id="set_message_status",
        request=message_shapes.StatusChange,
        responses={200: shapes.enveloped(message_shapes.Message), **shapes.REFUSALS},
    )
    def put(self, _request: Request, message_id: str) -> Response:
        """`cancelled`, or `pending` for a message that failed: the two a client may set."""
        wanted = fields.one_of(self.document.get("status"), statuses.NAMES, "status")
        row = find(self.caller, message_id)
        if wanted == Status.CANCELLED:
            return cancelled(self.caller, row)
        if wanted == statuses.PENDING:
            return retried(self.caller, row)
        present = statuses.shown(row.job.status) if row.job else str(Status.COMPLETED)
        raise IllegalTransition(present, wanted)


class CancelMessage(Resource):
    @extend_schema(
        operation_id="cancel_message",
        request=None,
        responses={
            200: shapes.enveloped(message_shapes.Message),
            202: shapes.enveloped(message_shapes.Message),
            **shapes.REFUSALS,
        },
    )
    def post(self, _request: Request, message_id: str) -> Response:
        """Withdraw a message: 200 when it waited, 202 when the running call is being ended."""
        return cancelled(self.caller, find(self.caller, message_id))


class RetryMessage(Resource):
    @extend_schema(
        operation_id="retry_message",
        request=None,
        responses={200: shapes.enveloped(message_shapes.Message), **shapes.REFUSALS},
    )
    def post(self, _request: Request, message_id: str) -> Response:
        """Queue a message again that failed or timed out."""
        return retried(self.caller, find(self.caller, message_id))


def cancelled(caller: Caller, row: Message) -> Response:
    status = services.cancel(message=row)
    return success(_again(caller, row), 200 if status is Status.CANCELLED else 202)


def retried(caller: Caller, row: Message) -> Response:
    services.retry(message=row, operator=caller.operator)
    return success(_again(caller, row))


def _again(caller: Caller, row: Message) -> dict[str, object]:
    return render.messages([find(caller, str(row.pk))])[0]
