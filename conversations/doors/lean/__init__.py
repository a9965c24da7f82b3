"""The lean ASGI application: routes, HTTP, health, and what its doors share; no API's words."""
