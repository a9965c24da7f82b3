"""Operators, tenants, users, keys, costs, priority rules, conversations and messages in admin."""

from conversations.admin import costs, dialogue, priority_rules, tenancy

__all__ = ["costs", "dialogue", "priority_rules", "tenancy"]
