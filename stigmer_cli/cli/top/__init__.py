"""`stigmer top`: a screen that shows the stack and its executions, and acts on them."""
