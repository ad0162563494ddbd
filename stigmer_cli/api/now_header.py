"""The header by which the server tells the time."""

NOW_HEADER = "Stigmer-Now"
"""A header of each answer: the time by the clock that its timestamps were written by."""
