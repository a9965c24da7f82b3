"""From a ticket to a claimed job with a slot: room first, then the claim, then the endpoint."""
