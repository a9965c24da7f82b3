"""What does a request say? Single fields, drafts, filters of lists: read and checked."""
