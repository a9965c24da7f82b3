"""Which endpoint serves a job, and why?"""
