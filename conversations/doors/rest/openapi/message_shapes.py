"""Which shapes do messages and conversations have in the OpenAPI document?"""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from conversations.doors.rest.openapi.shapes import LEVELS
from conversations.doors.rest.protocol import statuses
from conversations.models import Conversation as ConversationRow

STATUSES = [(name, name) for name in statuses.NAMES]
STATES = ConversationRow.State.choices


class MessageDraft(serializers.Serializer[Any]):
    content = serializers.CharField()
    user_id = serializers.CharField(
        max_length=200, help_text="Your own name for the user; created on first use."
    )
    conversation_id = serializers.CharField(required=False)
    priority = serializers.ChoiceField(choices=LEVELS, required=False)
    model = serializers.CharField(required=False)
    metadata = serializers.DictField(required=False)
    scheduled_at = serializers.DateTimeField(required=False, help_text="Not before this time.")
    timeout = serializers.FloatField(
        required=False, help_text="Total seconds from submit (or scheduled_at) to the answer."
    )


class MessageBatch(serializers.Serializer[Any]):
    messages = MessageDraft(many=True)


class StatusChange(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=STATUSES)


class StateChange(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=STATES)


class Cost(serializers.Serializer[Any]):
    amount = serializers.FloatField(help_text="Of all attempts.")
    currency = serializers.CharField()
    estimated = serializers.BooleanField(help_text="The endpoint reported no usage.")


class Usage(serializers.Serializer[Any]):
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    total_tokens = serializers.IntegerField()


class Timings(serializers.Serializer[Any]):
    queued = serializers.FloatField(allow_null=True, help_text="seconds")
    first_token = serializers.FloatField(allow_null=True, help_text="seconds")
    processing = serializers.FloatField(allow_null=True, help_text="seconds")
    total = serializers.FloatField(allow_null=True, help_text="seconds")


class RequestError(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()


class Analysis(serializers.Serializer[Any]):
    script = serializers.CharField(allow_null=True)
    language = serializers.CharField(allow_null=True, help_text="ISO 639-1, where it is plain")
    is_question = serializers.BooleanField()
    estimated_tokens = serializers.IntegerField(help_text="of the content")
    history = serializers.DictField(
        required=False,
        help_text="In a conversation: turns sent with it and dropped, by which policy, and the"
        " prompt's estimated tokens.",
    )


class Message(serializers.Serializer[Any]):
    id = serializers.CharField()
    conversation_id = serializers.CharField(allow_null=True)
    user_id = serializers.CharField()
    role = serializers.ChoiceField(choices=[("user", "user"), ("assistant", "assistant")])
    content = serializers.CharField()
    reply_to = serializers.CharField(allow_null=True)
    metadata = serializers.DictField()
    analysis = Analysis(allow_null=True, help_text="Ours; a user's messages only.")
    status = serializers.ChoiceField(
        choices=STATUSES, help_text="`pending`: queued, or held until it may be."
    )
    held_reason = serializers.CharField(allow_null=True)
    cancel_requested = serializers.BooleanField(allow_null=True)
    queue_name = serializers.CharField(allow_null=True, help_text="the name of its priority")
    priority = serializers.ChoiceField(choices=LEVELS, allow_null=True)
    priority_reason = serializers.CharField(
        allow_null=True, help_text="for example `rule: urgent words` or `tenant default`"
    )
    model = serializers.CharField(allow_null=True)
    retry_count = serializers.IntegerField(allow_null=True)
    max_retries = serializers.IntegerField(allow_null=True)
    position = serializers.IntegerField(
        allow_null=True, help_text="1 is next, 0 not waiting; null while held or not known"
    )
    estimated_wait = serializers.FloatField(
        allow_null=True, help_text="seconds; null while there is nothing to estimate by"
    )
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    scheduled_at = serializers.DateTimeField(allow_null=True)
    deadline_at = serializers.DateTimeField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)
    usage = Usage(allow_null=True)
    cost = Cost(allow_null=True)
    timings = Timings(allow_null=True)
    error = RequestError(allow_null=True)


class Attempt(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    outcome = serializers.CharField()
    endpoint = serializers.CharField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField()
    seconds = serializers.FloatField(allow_null=True)
    error = RequestError(allow_null=True)


class MessageDetail(Message):
    answer = serializers.CharField(allow_null=True)
    attempts = Attempt(many=True)


class Accepted(serializers.Serializer[Any]):
    id = serializers.CharField()
    conversation_id = serializers.CharField(allow_null=True)
    user_id = serializers.CharField()
    status = serializers.ChoiceField(choices=STATUSES)


class BatchReceipt(serializers.Serializer[Any]):
    count = serializers.IntegerField()
    messages = Accepted(many=True)


class ConversationChanges(serializers.Serializer[Any]):
    title = serializers.CharField(required=False, max_length=200)
    context = serializers.CharField(  # type: ignore[assignment]  # DRF has one, and allows it
        required=False, help_text="The system prompt."
    )
    model = serializers.CharField(required=False)
    priority = serializers.ChoiceField(choices=LEVELS, required=False, allow_null=True)
    metadata = serializers.DictField(required=False)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)


class ConversationDraft(ConversationChanges):
    user_id = serializers.CharField(max_length=200)


class Conversation(ConversationDraft):
    id = serializers.CharField()
    state = serializers.ChoiceField(choices=STATES)
    message_count = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    last_active_at = serializers.DateTimeField()
