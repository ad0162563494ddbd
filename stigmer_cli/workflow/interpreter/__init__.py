"""Runs a workflow: each task is a function of its input and of the journal."""
