"""How does an answer get from a worker to the clients that wait for it?"""
