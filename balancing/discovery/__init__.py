"""Which endpoints and models appear and vanish by themselves?"""
