"""Agents, executions and their timelines, kept in SQLite or PostgreSQL; the door is `store.open_store`."""
