"""Agents with tools: pydantic-ai runs the loop, and the journal records each of its turns and calls."""
