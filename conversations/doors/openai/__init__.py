"""What is OpenAI's own: requests read, answers written in its shape."""
