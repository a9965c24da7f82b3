"""Operators, tenants, users, keys, priority rules, conversations and messages in admin."""

from conversations.admin import dialogue, priority_rules, tenancy

__all__ = ["dialogue", "priority_rules", "tenancy"]
