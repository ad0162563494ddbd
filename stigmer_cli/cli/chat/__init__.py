"""`stigmer chat`: a conversation with an agent, a message at a time."""
