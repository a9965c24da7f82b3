"""How is an endpoint called, and how is its answer read?"""
