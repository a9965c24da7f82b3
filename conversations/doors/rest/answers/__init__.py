"""What an answer shows: rows as JSON, and how busy endpoints are."""
