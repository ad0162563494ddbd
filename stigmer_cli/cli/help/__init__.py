"""The commands about the program itself: its manual, its version, its completions."""
