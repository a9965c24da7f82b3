"""What does an endpoint refuse of a request that others take, and how is the call fitted to it?"""
