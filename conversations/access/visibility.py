"""What may a key see? Its tenant's rows, or those of its one user."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from conversations.access.keys import Caller
from conversations.access.users import bound_to
from conversations.models import Conversation, Message


def visible_messages(caller: Caller) -> QuerySet[Message]:
    """The messages a key may see: its tenant's, or its one user's."""
    return Message.objects.filter(_visible(caller))


def visible_conversations(caller: Caller) -> QuerySet[Conversation]:
    return Conversation.objects.filter(_visible(caller))


def _visible(caller: Caller) -> Q:
    mine = Q(tenant_id=caller.tenant_id)
    user_id = bound_to(caller)
    return mine & Q(user_id=user_id) if user_id else mine
