"""How does the OpenAPI document describe `/api/v1`?"""
