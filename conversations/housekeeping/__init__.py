"""Calendar chores: conversations that fall idle, old rows, what a crash left behind."""
