"""The only access to Temporal: its dev server, the connection, and the calls that use it."""
