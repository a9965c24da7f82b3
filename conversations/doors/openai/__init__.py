"""OpenAI's API, `/v1`: its requests, its answers and its errors."""
