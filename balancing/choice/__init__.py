"""Which endpoint serves a job: what a worker sees of them, and why it chose one."""
