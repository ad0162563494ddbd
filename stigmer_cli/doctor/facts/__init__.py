"""What checks look at: the facts, and how each is found out."""
