"""The commands about executions."""
