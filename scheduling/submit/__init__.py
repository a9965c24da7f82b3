"""How a job gets in: one, many at a moment, or a file of them; and what it is expected to cost."""
