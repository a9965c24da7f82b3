"""What a request says, read and checked: single fields, drafts, filters of lists."""
