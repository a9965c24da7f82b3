"""What do all workers together know of an endpoint at this moment? Kept in Valkey."""
