"""How well requests are spread over unequal endpoints: `make bench-balancing`."""
