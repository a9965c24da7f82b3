"""The lean ASGI application: routes, HTTP, health, and what all doors share. It knows no API."""
