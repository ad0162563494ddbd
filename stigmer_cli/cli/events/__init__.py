"""The commands about events."""
