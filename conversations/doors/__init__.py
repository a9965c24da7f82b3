"""The interfaces that clients use: OpenAI's API, the REST API, files of requests."""
