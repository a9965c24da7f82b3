"""How do the levels and the endpoints stand, and why does what waits wait?"""
