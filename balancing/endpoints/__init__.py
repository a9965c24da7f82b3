"""Which endpoints are there, and how is each reached?"""
