"""The lean ASGI application: routing, the wire, and what it holds for its whole life."""
