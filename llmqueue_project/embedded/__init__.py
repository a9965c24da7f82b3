"""A whole llmqueue on one machine: PostgreSQL, Valkey and a small model from wheels.

`python -m llmqueue_project.embedded up` runs the stack until Ctrl-C, `demo` shows it and
stops. `DATABASE_URL`, `REDIS_URL` and `LLM_BASE_URL` each replace the embedded part.
"""
