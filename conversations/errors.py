"""What does this app refuse, and why?

ConversationsError
├── ConversationNotFound  no such conversation, or another tenant's
├── ConversationClosed    its state or expiry forbids messages, or the change of its state
├── ContextTooLong        its history does not fit the model, and the setting is to refuse that
├── ConversationBusy      a turn of it is running
├── UserMismatch          the user is not the conversation's, or none was named
├── UserForbidden         the key speaks for another user
└── NoModel               no model was named and no endpoint is registered
"""

from __future__ import annotations


class ConversationsError(Exception):
    """Base of all expected refusals of this app.

    Attributes:
        index: the message of a batch that it is about; None outside a batch.
    """

    def __init__(self, reason: str, *, index: int | None = None) -> None:
        super().__init__(reason)
        self.index = index


class ConversationNotFound(ConversationsError):
    pass


class ConversationClosed(ConversationsError):
    pass


class ContextTooLong(ConversationsError):
    pass


class ConversationBusy(ConversationsError):
    pass


class UserMismatch(ConversationsError):
    pass


class UserForbidden(ConversationsError):
    pass


class NoModel(ConversationsError):
    pass
