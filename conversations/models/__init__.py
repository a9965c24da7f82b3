"""Who pays, who speaks, what was said: tenants, users and keys, conversations and messages."""

from conversations.models.dialogue import Conversation, Message
from conversations.models.priority_rule import PriorityRule
from conversations.models.tenancy import ApiKey, Operator, Tenant, User

__all__ = ["ApiKey", "Conversation", "Message", "Operator", "PriorityRule", "Tenant", "User"]
