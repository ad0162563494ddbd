"""Which processes the local stack is made of, where they listen, and what is said about them."""
