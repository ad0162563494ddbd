"""The only door to Temporal: its dev server, the connection that lives, and the calls that go over it."""
