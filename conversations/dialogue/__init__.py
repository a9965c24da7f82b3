"""Conversations, their turns, and the prompt that each turn calls for."""
