"""How are jobs stored: one, many of the same moment, or a file of them, and at which cost?"""
