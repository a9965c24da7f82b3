"""What clients see: tenants and their keys, conversations and their messages."""

from conversations.models.dialogue import Conversation, Message
from conversations.models.priority_rule import PriorityRule
from conversations.models.tenancy import ApiKey, Operator, Tenant, User

__all__ = ["ApiKey", "Conversation", "Message", "Operator", "PriorityRule", "Tenant", "User"]
