"""Is an endpoint well?"""
