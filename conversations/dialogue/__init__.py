"""What happens to a message: from a draft to a queued turn, its prompt, and its answer."""
