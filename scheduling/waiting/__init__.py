"""What waits, how long it will wait, and whether more may join it."""
