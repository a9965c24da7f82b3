"""The REST API, `/api/v1`: messages and conversations, and what operators steer."""
