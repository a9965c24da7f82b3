"""What does an answer show? Rows as JSON, and how busy endpoints are."""
