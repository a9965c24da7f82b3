"""What llmqueue is compared with."""
