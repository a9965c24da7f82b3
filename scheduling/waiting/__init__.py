"""What waits, how long will it wait, and may more join it?"""
