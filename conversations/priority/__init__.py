"""Which level a request gets, and why: asked for, by rule, by default."""
