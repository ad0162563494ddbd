"""The commands that say what is wrong."""
