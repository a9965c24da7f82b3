"""What does the calendar do? Idle conversations, old rows, and what a crash left undone."""
