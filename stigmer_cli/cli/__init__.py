"""The commands: each module parses its arguments, makes one call and prints the result."""
